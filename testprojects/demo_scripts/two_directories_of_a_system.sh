#!/bin/bash
# Two directories of a system in one place, with a name that is a file here and a directory there.
set -e

mkdir -p usr/bin usr/lib/perl
echo program >usr/bin/perl
echo module >usr/lib/perl/module
occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../system.yaml --root image --include-dir /opt/occlum/etc/template
occlum build

test -f image/bin/perl/module
