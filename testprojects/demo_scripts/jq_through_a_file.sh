#!/bin/bash
# The configuration by jq, through a file, and with a value of the script.
set -e

occlum new occlum_instance
cd occlum_instance
jq '.feature.pkru = 1' Occlum.json >../tmp.json && mv ../tmp.json Occlum.json
threads=48
new_json="$(jq --argjson THREADS ${threads} '.resource_limits.max_num_of_threads = $THREADS' Occlum.json)" && \
    echo "${new_json}" > Occlum.json
occlum build

grep -q '<PKRU>1</PKRU>' build/Enclave.xml
grep -q '<TCSNum>48</TCSNum>' build/Enclave.xml
