#!/bin/bash
# Two BOMs, one after the other.
set -e

rm -rf occlum_instance && occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template
copy_bom -f ../prefix.yaml --root image --include-dir /opt/occlum/etc/template
occlum build

test -x image/bin/hello
test -f image/opt/prefix/share/text
