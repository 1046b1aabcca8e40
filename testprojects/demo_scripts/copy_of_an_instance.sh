#!/bin/bash
# A built instance is copied, and built again with another configuration.
set -e

occlum new occlum_manager
mkdir -p occlum_manager/image/usr/bin && cp hello occlum_manager/image/usr/bin
cd occlum_manager && occlum build && cd ..
cp -rf occlum_manager occlum_worker
cd occlum_worker
new_json="$(jq '.entry_points = ["/usr/bin"]' Occlum.json)" && echo "${new_json}" > Occlum.json
occlum build

test "$(occlum print mrenclave)" != "$(cd ../occlum_manager && occlum print mrenclave)"
