#!/bin/bash
# The instance is made in a directory that is there.
set -e

rm -rf occlum_instance && mkdir -p occlum_instance
pushd occlum_instance
occlum init || exit 1
rm -rf image
copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template
occlum build
popd

test -f occlum_instance/build/lib/libocclum-libos.signed.so
test "$(cd occlum_instance && occlum status)" = built
