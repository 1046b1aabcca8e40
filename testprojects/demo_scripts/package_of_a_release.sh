#!/bin/bash
# Only a release is packed without --debug.
set -e

occlum new occlum_instance
cd occlum_instance
occlum build
if occlum package occlum_instance; then exit 1; fi
new_json="$(jq '.metadata.debuggable = false' Occlum.json)" && echo "${new_json}" > Occlum.json
occlum build
occlum package occlum_instance

tar -tzf occlum_instance.tar.gz | grep -q '^occlum_instance/Occlum.json$'
