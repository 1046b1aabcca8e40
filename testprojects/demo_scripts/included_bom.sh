#!/bin/bash
# A BOM that includes another one beside it, and Occlum's base.yaml.
set -e

occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../including.yaml --root image --include-dir /opt/occlum/etc/template
occlum build

test -x image/bin/hello
test -f image/opt/prefix/share/text
test -d image/root
