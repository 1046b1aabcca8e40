#!/bin/bash
# An initfs of one's own.
set -e

export INIT_DIR="$PWD/init"
rm -rf occlum_instance && occlum new occlum_instance
cd occlum_instance
rm -rf initfs
copy_bom -f ../init.yaml --root initfs --include-dir /opt/occlum/etc/template
rm -rf image
copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template
occlum build

cmp ../init/init initfs/bin/init
test -d initfs/dev
