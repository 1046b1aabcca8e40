#!/bin/bash
# A look at what a BOM would do.
set -e

occlum new occlum_instance
cd occlum_instance && rm -rf image
OCCLUM_LOG_LEVEL=info copy_bom -f ../hello.yaml --root image --dry-run \
    --include-dir /opt/occlum/etc/template 2>log

test ! -e image
grep -q 'mkdir -p .*/image/bin$' log
