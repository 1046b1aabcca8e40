from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from occlum_build.oci.config import DEFAULT_PATH, Container, config_json, config_of

# What `rune spec` of rune 0.6.4 writes.
VECTOR = Path("testprojects/vectors/rune/rune_spec_config.json")


def test_like_rune_spec() -> None:
    wanted: dict[str, Any] = json.loads(VECTOR.read_bytes())
    made = config_of(Container(("sh",), ("TERM=xterm",), "/var/run/rune", wanted["annotations"]))

    assert wanted["mounts"].pop()["destination"] == "/var/run/aesmd"  # rune adds it where it is
    wanted["ociVersion"] = "1.0.2"
    wanted["process"]["terminal"] = False
    for kind in ("ambient", "inheritable"):
        del wanted["process"]["capabilities"][kind]
    for lists in (made["linux"], wanted["linux"]):
        lists["maskedPaths"].sort()
    assert made == wanted


def test_one_text_for_one_container() -> None:
    one = Container(("/a",), annotations={"b": "1", "a": "2"})
    other = Container(("/a",), annotations={"a": "2", "b": "1"})
    assert config_json(one) == config_json(other)
    assert config_json(one).endswith(b"}\n")


def test_path_and_root() -> None:
    config = config_of(Container(("/a",), ("PATH=/bin",), read_only=True))
    assert config["process"]["env"] == ["PATH=/bin"]
    assert config["root"] == {"path": "rootfs", "readonly": True}
    assert config_of(Container(("/a",)))["process"]["env"] == [DEFAULT_PATH]
