#!/bin/bash
# One configuration for both kinds of machines.
set -e

occlum new occlum_instance
cd occlum_instance
new_json="$(jq '.resource_limits.user_space_size = "1MB" |
    .resource_limits.user_space_max_size = "320MB" |
    .resource_limits.kernel_space_heap_size = "4MB" |
    .resource_limits.kernel_space_heap_max_size = "40MB" |
    .resource_limits.init_num_of_threads = 2 |
    .resource_limits.max_num_of_threads = 64' Occlum.json)" && \
    echo "${new_json}" > Occlum.json
occlum build 2>told
grep -q '<TCSNum>64</TCSNum>' build/Enclave.xml
occlum build --enable-edmm Y 2>>told
grep -q '<TCSNum>2</TCSNum>' build/Enclave.xml
ENABLE_EDMM=Y occlum build 2>>told

if grep -E '^(warning|error): ' told; then exit 1; fi
