"""`measurement.json`: what an enclave is, and of which inputs; why it is not what was expected.

docs/enclave.md, section "measurement.json", has the keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

from occlum_build.errors import NOTE, WARNING, OcclumError, Problem
from occlum_build.occlum.configure import Settings, config_keys
from occlum_build.occlum.earlier import SCHEMA, Earlier
from occlum_build.occlum.initfs import ENCRYPTED, IMAGE_KEY, INTEGRITY_ONLY
from occlum_build.occlum.signing import PUBLIC_TEST_MRSIGNER
from occlum_build.occlum.toolchain import Toolchain
from occlum_build.sgx.attributes import FLAG_DEBUG
from occlum_build.sgx.config import Node
from occlum_build.sgx.measurement import sigstruct_to_json
from occlum_build.sgx.sigstruct import Sigstruct
from occlum_build.shown import Lines

_MAX_LINES = 50
_MAX_VALUE = 80
_NO_VALUE = object()
_SETTINGS = {True: 48, False: 47}


@dataclass(frozen=True)
class ImageIdentity:
    """`digest`: hex, None for a secure file system that was built before; `type`: "encrypted" or
    "integrity-only"; the key's `fingerprint` says nothing about the key."""

    type: str
    mac: str
    digest: str | None
    key_fingerprint: str | None = None


def inputs_of(
    image: ImageIdentity,
    initfs_manifest: Mapping[str, Any],
    config: Mapping[str, Any],
    toolchain: Mapping[str, str],
    version: str,
    settings: Settings,
) -> dict[str, Any]:
    """What an enclave is made of. `config`: of `config_keys`; `toolchain`: digests by role."""
    described: dict[str, Any] = {"type": image.type}
    if image.digest is None:
        described["mac"] = image.mac
    else:
        described["digest"] = f"sha256:{image.digest}"
    if image.key_fingerprint is not None:
        described["key_fingerprint"] = image.key_fingerprint
    return {
        "image": described,
        "initfs": describe_entries(initfs_manifest),
        "config": dict(config),
        "toolchain": {
            "version": version,
            **{role: f"sha256:{digest}" for role, digest in sorted(toolchain.items())},
        },
        "settings": {
            "sgx_mode": settings.sgx_mode,
            "edmm": settings.is_for_edmm,
            "builtin_config_bytes": _SETTINGS[settings.with_newline],
        },
    }


def inputs_of_build(
    image: ImageIdentity,
    initfs_manifest: Mapping[str, Any],
    config: Node,
    toolchain: Toolchain,
    settings: Settings,
) -> dict[str, Any]:
    """`inputs_of`, of the values that a build has."""
    return inputs_of(
        image,
        initfs_manifest,
        config_keys(config),
        toolchain.digests,
        toolchain.version,
        settings,
    )


def record(
    inputs: Mapping[str, Any], sigstruct: Sigstruct, image_mac: str, initfs_mac: str
) -> dict[str, Any]:
    """The content of measurement.json; `mrsigner` is null as long as nobody has signed."""
    shown = sigstruct_to_json(sigstruct)
    del shown["schema"], shown["signature_valid"]
    return {
        "schema": SCHEMA,
        **shown,
        "mrsigner": sigstruct.mrsigner.hex() if sigstruct.modulus else None,
        "debuggable": not sigstruct.flags_mask & FLAG_DEBUG,
        "image_mac": image_mac,
        "initfs_mac": initfs_mac,
        "inputs": dict(inputs),
    }


def to_bytes(value: Mapping[str, Any]) -> bytes:
    """The bytes of the file: sorted keys, one value a line."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def describe_entries(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Path -> mode, and content or target, of a manifest; of an image key the mode alone."""
    described = {}
    for entry in manifest["entries"]:
        content = entry.get("sha256") or entry.get("target") or ""
        if entry["path"] == f"/{IMAGE_KEY}":
            content = "(the image key)"
        text = f"{entry['type']} {entry['mode']} {content}"
        described[entry["path"]] = text.rstrip()
    return described


class InputChange(NamedTuple):
    """An input of a measurement that is another one; None stands for one that is not there.

    `kind` is "toolchain", "setting", "config", "initfs" or "image"; `name` a file, key or path.
    """

    kind: str
    name: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.old is None:
            return f"{self.kind} {self.name}: added, {self.new}"
        if self.new is None:
            return f"{self.kind} {self.name}: removed, was {self.old}"
        return f"{self.kind} {self.name}: {self.old} -> {self.new}"


def changed_inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[InputChange]:
    """Which inputs moved between two records."""
    for section, kind in (
        ("toolchain", "toolchain"),
        ("settings", "setting"),
        ("config", "config"),
        ("initfs", "initfs"),
        ("image", "image"),
    ):
        before, after = old["inputs"].get(section, {}), new["inputs"].get(section, {})
        yield from changes_between(kind, before, after)


def changes_between(
    kind: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[InputChange]:
    """What moved between two objects of a kind, by name."""
    for name in sorted({*before, *after}):
        old, new = before.get(name, _NO_VALUE), after.get(name, _NO_VALUE)
        if old is _NO_VALUE:
            yield InputChange(kind, name, None, _shown(new))
        elif new is _NO_VALUE:
            yield InputChange(kind, name, _shown(old), None)
        elif old != new or type(old) is not type(new):
            yield InputChange(kind, name, _shown(old), _shown(new))


def explain(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    old_image: Mapping[str, Any] | None = None,
    new_image: Mapping[str, Any] | None = None,
) -> list[str]:
    """Which inputs moved between two records, one a line; the manifests name the entries."""
    lines = [str(change) for change in changed_inputs(old, new)]
    if old_image is not None and new_image is not None:
        before, after = describe_entries(old_image), describe_entries(new_image)
        lines += map(str, changes_between("image entry", before, after))
    return first_of(lines) or ["no recorded input differs"]


def first_of(lines: list[str]) -> list[str]:
    """As many of the lines as are told, and how many are not."""
    if len(lines) <= _MAX_LINES:
        return lines
    return [*lines[:_MAX_LINES], f"... and {len(lines) - _MAX_LINES} more"]


def check_expected(
    expected: str,
    new: Mapping[str, Any],
    earlier: Callable[[], Earlier] = Earlier,
    new_image: Mapping[str, Any] | None = None,
) -> None:
    """OcclumError `mrenclave`, with the inputs that moved, unless MRENCLAVE is as expected.

    `earlier` is asked only then; what of it cannot be read is told in the hint.
    """
    if new["mrenclave"] == expected.lower():
        return
    message = f"MRENCLAVE is {new['mrenclave']}, not {expected.lower()} as expected"
    last = earlier()
    old = last.record
    lines = [f"not compared with: {reason}" for reason in last.unreadable]
    if old is None:
        head = "there is no earlier measurement.json to compare with"
    else:
        which = "the expected MRENCLAVE" if old["mrenclave"] == expected.lower() else "another one"
        head = f"since the last measurement.json, which has {which}:"
        lines = [*explain(old, new, last.manifest, new_image), *lines]
    hint = Lines(head, *(f"    {line}" for line in lines))
    raise OcclumError("mrenclave", message, hint=hint)


def security_warnings(
    measured: Mapping[str, Any], *, own_init: str = "", test_mrsigner: str = ""
) -> list[Problem]:
    """What makes a build weaker than it may look, and a key that nobody can get.

    `own_init`: the SHA-256 of the toolchain's init; `test_mrsigner`: MRSIGNER of its test key.
    """
    inputs, found = measured["inputs"], []
    if f"/{IMAGE_KEY}" in inputs["initfs"]:
        found.append(
            Problem(
                "image-key",
                "the image key is in initfs, which is not encrypted: whoever has the instance"
                " can read the image",
                hint="have the key sent to the enclave after attestation instead",
                severity=WARNING,
            )
        )
    elif inputs["image"]["type"] == ENCRYPTED and has_own_init(inputs, own_init):
        found.append(_KEY_OUT_OF_REACH)
    if measured["debuggable"]:
        return found
    if measured["mrsigner"] and measured["mrsigner"] in (PUBLIC_TEST_MRSIGNER, test_mrsigner):
        found.append(_TEST_KEY)
    if inputs["image"]["type"] == INTEGRITY_ONLY:
        found.append(
            Problem(
                "image-type",
                "a release enclave has an integrity-only image: its content can be read, and its"
                " tags are checksums under a fixed public key, no protection from a forger; what"
                " protects it is that its MAC is part of MRENCLAVE",
                hint="give an image key to encrypt it",
                severity=WARNING,
            )
        )
    return found


def debug_note(measured: Mapping[str, Any], test_mrsigner: str = "") -> list[Problem]:
    """That an enclave may be debugged, and who may sign as its signer, for who did not ask for it.

    `test_mrsigner`: MRSIGNER of the toolchain's test key.
    """
    if not measured["debuggable"]:
        return []
    by_test_key = measured["mrsigner"] and measured["mrsigner"] in (
        PUBLIC_TEST_MRSIGNER,
        test_mrsigner,
    )
    signed = ", and it is signed with a test key that everybody has" if by_test_key else ""
    return [
        Problem(
            "debug",
            f"this is a debug enclave: its memory can be read from outside{signed}",
            hint="for a release, set metadata.debuggable of Occlum.json to false, and give a key of"
            " your own to sign with, and one for the image",
            severity=NOTE,
        )
    ]


def has_own_init(inputs: Mapping[str, Any], own_init: str) -> bool:
    """Whether the initfs has Occlum's own init, which has this SHA-256; "" is none."""
    init = str(inputs["initfs"].get("/bin/init", "")).rpartition(" ")[2]
    return bool(own_init) and init == own_init


_KEY_OUT_OF_REACH = Problem(
    "image-key-missing",
    f"the image is encrypted, and /bin/init of the initfs is Occlum's own, which reads the key from"
    f" /{IMAGE_KEY}: that is not there, so the enclave ends at boot",
    hint="build the key in (--buildin-image-key, under Pants `buildin_image_key=True`), or give an"
    " init of yours that gets the key after attestation",
    severity=WARNING,
)
_TEST_KEY = Problem(
    "sign-key",
    "a release enclave is signed with the toolchain's test key, which everybody has: anybody can"
    " sign another enclave with this MRSIGNER",
    hint="make a key, `openssl genrsa -3 -out key.pem 3072`, and sign with it: --sign-key, under"
    " Pants [occlum].sign_key_file or [occlum].signer",
    severity=WARNING,
)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 3] + "..."
