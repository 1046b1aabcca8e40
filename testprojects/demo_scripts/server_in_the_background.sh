#!/bin/bash
# What runs an enclave is an installed Occlum's to do.
set -e

occlum new occlum_instance
cd occlum_instance
occlum build
occlum start
occlum exec /bin/hello "a  b" &
wait $!
occlum stop
mkdir mounted && occlum mount mounted

test "$(tail -n 4 ../runtime.log | tr '\n' ';')" = \
    "1: start;3: exec /bin/hello a  b;1: stop;2: mount mounted;"
