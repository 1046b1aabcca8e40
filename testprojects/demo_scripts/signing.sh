#!/bin/bash
# A key of one's own, and a tool to sign with, which is not needed.
set -e

cp "$OCCLUM_TOOLCHAIN/etc/template/Enclave.pem" key.pem
occlum new occlum_instance
cd occlum_instance
occlum build --sign-key ../key.pem --sign-tool /opt/intel/sgxsdk/bin/x64/sgx_sign
mrsigner=$(occlum print mrsigner)
mrenclave=$(occlum print mrenclave)

test ${#mrsigner} = 64
test ${#mrenclave} = 64
test $mrenclave != $mrsigner
