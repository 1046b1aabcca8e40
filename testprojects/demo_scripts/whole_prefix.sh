#!/bin/bash
# A prefix as a whole under `dirs`, with links, excludes, and a link beside it.
set -e

occlum new occlum_instance
cd occlum_instance && rm -rf image
copy_bom -f ../prefix.yaml --root image --include-dir /opt/occlum/etc/template
occlum build

test "$(readlink image/bin/text)" = /opt/prefix/share/text
test "$(readlink image/opt/prefix/share/link)" = text
test -f image/opt/prefix/lib/libgreet.so.1
test ! -e image/opt/prefix/share/text.orig
