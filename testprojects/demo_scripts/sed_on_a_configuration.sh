#!/bin/bash
# A configuration of one's own, in which sed puts the values.
set -e

occlum new occlum_instance
cd occlum_instance
export OCCLUM_USER_SPACE_SIZE=160MB
cp Occlum.json ../Occlum.json.in
sed -i 's/"user_space_size": "[^"]*"/"user_space_size": "USER_SPACE"/' ../Occlum.json.in
cp ../Occlum.json.in Occlum.json
sed -i "s/USER_SPACE/$OCCLUM_USER_SPACE_SIZE/g" Occlum.json
occlum build

grep -q '"user_space_max_size": "167772160B"' build/.Occlum_sys.json
