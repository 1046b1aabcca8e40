"""Build Occlum enclave images without an Occlum toolchain."""
