#!/bin/bash
# One function for several images; the name of the BOM is a variable.
set -e

build_image() {
    bomfile=$1
    rm -rf occlum_instance && occlum new occlum_instance
    pushd occlum_instance
    rm -rf image
    copy_bom -f $bomfile --root image --include-dir /opt/occlum/etc/template
    occlum build
    popd
}
build_image ../hello.yaml
test ! -e occlum_instance/image/opt/prefix
build_image "$PWD/prefix.yaml"

test -f occlum_instance/image/opt/prefix/share/text
test ! -e occlum_instance/image/bin/hello
