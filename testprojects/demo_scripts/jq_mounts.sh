#!/bin/bash
# More mounts, for which the image has directories.
set -e

occlum new occlum_instance
cd occlum_instance
mkdir -p image/models
new_json="$(cat Occlum.json | jq '.mount+=[{"target": "/models", "type": "hostfs", "source": "/srv/models"}]')" && \
    echo "${new_json}" > Occlum.json
new_json="$(cat Occlum.json | jq '.mount += [{"target": "/tmp", "type": "ramfs"}]')" && \
    echo "${new_json}" > Occlum.json
occlum build

grep -q '"target": "/models"' build/.Occlum_sys.json
grep -q '"ramfs"' build/.Occlum_sys.json
