#!/bin/bash
# Names that change, a hash that is checked, libraries that are left out.
set -e

occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../options.yaml --root image
occlum build

test -f image/bin/greet
test -f image/etc/checked
test -z "$(find image -name 'libc.so*')"
