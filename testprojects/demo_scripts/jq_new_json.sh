#!/bin/bash
# The configuration by jq, through a variable.
set -e

occlum new occlum_instance
cd occlum_instance
new_json="$(jq '.resource_limits.user_space_size = "320MB" |
    .resource_limits.kernel_space_heap_size = "64MB" |
    .resource_limits.max_num_of_threads = 64 |
    .process.default_heap_size = "16MB" |
    .entry_points = [ "/bin", "/usr/bin" ] |
    .env.default += ["PYTHONHOME=/opt/prefix"]' Occlum.json)" && \
    echo "${new_json}" > Occlum.json
occlum build

grep -q '<TCSNum>64</TCSNum>' build/Enclave.xml
grep -q '<HeapMaxSize>67108864</HeapMaxSize>' build/Enclave.xml
grep -q '"PYTHONHOME=/opt/prefix"' build/.Occlum_sys.json
