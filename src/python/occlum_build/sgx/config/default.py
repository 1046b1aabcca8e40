"""Occlum's default configuration, and patches of it: a target states only what differs.

A patch is a JSON merge patch (RFC 7396): objects merge key by key, everything else (lists too)
replaces, null removes a key. Each value keeps its place, and as lists are never merged its JSON
path is the same in the patch and in the result.
"""

from __future__ import annotations

from functools import cache

from occlum_build.sgx.config.jsontext import Key, Node, Object, Scalar, parse_json

DEFAULT_NAME = "(default Occlum.json)"
_DEFAULT = b"""{
  "resource_limits": {
    "user_space_size": "300MB",
    "kernel_space_heap_size": "32MB",
    "kernel_space_stack_size": "1MB",
    "max_num_of_threads": 32
  },
  "process": {
    "default_stack_size": "4MB",
    "default_heap_size": "32MB",
    "default_mmap_size": "100MB"
  },
  "entry_points": ["/bin"],
  "env": {"default": ["OCCLUM=yes"], "untrusted": ["EXAMPLE"]},
  "metadata": {
    "product_id": 0,
    "version_number": 0,
    "debuggable": true,
    "enable_kss": false,
    "family_id": {"high": "0x0", "low": "0x0"},
    "ext_prod_id": {"high": "0x0", "low": "0x0"}
  },
  "feature": {
    "amx": 0,
    "pkru": 0,
    "io_uring": 0,
    "enable_edmm": false,
    "enable_posix_shm": false
  },
  "mount": [
    {
      "type": "unionfs",
      "target": "/",
      "options": {
        "layers": [
          {
            "type": "sefs",
            "target": "/",
            "source": "./build/mount/__ROOT",
            "options": {"MAC": ""}
          },
          {"type": "sefs", "target": "/", "source": "./run/mount/__ROOT"}
        ]
      }
    },
    {"type": "hostfs", "target": "/host", "source": "."}
  ]
}
"""


@cache
def default_config() -> Node:
    """The configuration a fresh Occlum instance has."""
    return parse_json(_DEFAULT, DEFAULT_NAME)


def merge(base: Node | None, patch: Node) -> Node:
    """The base with the patch applied (RFC 7396); a patch that is no object replaces the base."""
    if not isinstance(patch, Object):
        return patch
    members: dict[str, tuple[Key, Node]] = {}
    if isinstance(base, Object):
        members = {key.name: (key, value) for key, value in base.members}
    for key, value in patch.members:
        if isinstance(value, Scalar) and value.value is None:
            members.pop(key.name, None)
        else:
            under = members.get(key.name)
            members[key.name] = (key, merge(under[1] if under else None, value))
    repeated = base.repeated if isinstance(base, Object) else ()
    return Object(patch.place, tuple(members.values()), repeated + patch.repeated)
