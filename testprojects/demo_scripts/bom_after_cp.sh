#!/bin/bash
# A BOM into an image that holds other things; what is there stays.
set -e

occlum new occlum_instance
cd occlum_instance
mkdir -p image/etc
cp /etc/hosts image/etc
copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template 2>told
occlum build

test -x image/bin/hello
test -f image/lib/libc.so
cmp /etc/hosts image/etc/hosts
if grep -E '^(warning|error): the image holds' told; then exit 1; fi
