#!/bin/bash
# Two instances, made by one function.
set -e

build_instance() {
    name=$1
    rm -rf ${name} && occlum new ${name}
    pushd ${name}
    rm -rf image
    copy_bom -f ../$2 --root image --include-dir /opt/occlum/etc/template
    occlum build
    popd
}
build_instance occlum_server hello.yaml
build_instance occlum_client prefix.yaml

test -x occlum_server/image/bin/hello
test -f occlum_client/image/opt/prefix/share/text
test "$(cd occlum_server && occlum print mrenclave)" != "$(cd occlum_client && occlum print mrenclave)"
