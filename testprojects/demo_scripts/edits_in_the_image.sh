#!/bin/bash
# What a BOM copied is edited in the image before the build.
set -e

occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../prefix.yaml --root image --include-dir /opt/occlum/etc/template
if [ ! -L image/bin/again ]; then ln -s ../opt/prefix/bin/run.sh image/bin/again; fi
sed -i '/^ulimit/ s/^/# &/g' image/opt/prefix/bin/run.sh
chmod +x image/opt/prefix/bin/run.sh
rm -rf image/opt/prefix/share/*
occlum build

grep -q '^# ulimit' image/opt/prefix/bin/run.sh
test -z "$(ls image/opt/prefix/share)"
