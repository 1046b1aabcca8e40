#!/bin/bash
# An init that gets its secrets by remote attestation, and its configuration.
set -e

occlum new occlum_client --init-ra grpc_ratls
cd occlum_client
new_json="$(jq '.kms_server = "localhost:50051" |
    .kms_keys = [ {"key": "cert", "path": "/etc/saved", "service": "app"} ]' init_ra_conf.json)" && \
    echo "${new_json}" > init_ra_conf.json
occlum build

test "$(cat initfs/bin/init)" = "stand-in for init_grpc_ratls"
before=$(occlum print mrenclave)
sed -i 's/50051/50052/' init_ra_conf.json && occlum build
test "$(occlum print mrenclave)" != "$before"
