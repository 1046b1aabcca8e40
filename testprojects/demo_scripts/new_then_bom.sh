#!/bin/bash
# The usual way: a fresh instance, its image from a BOM alone, and a run.
set -e

rm -rf occlum_instance && occlum new occlum_instance
cd occlum_instance && rm -rf image && \
    copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template && \
    occlum build && \
    occlum run /bin/hello "two words"

test -x image/bin/hello
test -d image/tmp
test "$(tail -n 1 ../runtime.log)" = "3: run /bin/hello two words"
