#!/bin/bash
# The files go into the image that `occlum new` made, by cp, without a BOM.
set -e

occlum new occlum_instance
cd occlum_instance
mkdir -p image/etc image/opt/conf
cp /etc/hosts image/etc
cp ../hello image/bin
cp -r ../prefix/share/* image/opt/conf/
occlum build

test -f image/lib/libc.so
cmp /etc/hosts image/etc/hosts
test -f image/opt/conf/text
