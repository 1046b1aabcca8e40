#!/bin/bash
# An archive that is unpacked elsewhere.
set -e

occlum new occlum_instance
cd occlum_instance
occlum build
occlum package --debug
occlum package demo.tar.gz --debug
mkdir ../elsewhere && tar -xzf demo.tar.gz -C ../elsewhere

test -f occlum_instance.tar.gz
test -f ../elsewhere/demo/build/lib/libocclum-libos.signed.so
test "$(cat ../elsewhere/demo/.__occlum_status)" = built
