"""Occlum.json -> Enclave.xml and .Occlum_sys.json, the same bytes as Occlum 0.31's own tool."""

from occlum_build.sgx.config.default import default_config, merge
from occlum_build.sgx.config.generate import check, generate
from occlum_build.sgx.config.jsontext import MAX_BYTES, Node, parse_json
from occlum_build.sgx.config.model import CheckedConfig, EnclaveSettings, GeneratedConfig

__all__ = [
    "MAX_BYTES",
    "CheckedConfig",
    "EnclaveSettings",
    "GeneratedConfig",
    "Node",
    "check",
    "default_config",
    "generate",
    "merge",
    "parse_json",
]
