#!/bin/bash
# The BOM names variables that the script exports.
set -e

script_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export APP=hello
export DATA_DIR="$PWD/prefix/share"
occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../variables.yaml --root image --include-dir /opt/occlum/etc/template
occlum build

test -x image/bin/hello
test -f image/data/share/text
test -f image/etc/port-8080
