#!/bin/bash
# Without SGX hardware: by the option, and by the variable.
set -e

occlum new occlum_instance
cd occlum_instance
occlum build --sgx-mode SIM
test "$(cat .sgx_mode)" = SIM
occlum build --sgx-mode HW
test "$(cat .sgx_mode)" = HW
SGX_MODE=SIM occlum build
test "$(cat .sgx_mode)" = SIM
test -e build/lib/libocclum-pal_sim.so.0.31.0
