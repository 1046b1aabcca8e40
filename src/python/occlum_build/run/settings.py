"""What an Occlum.json says of programs and mounts, as far as it can hold without an enclave."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from occlum_build.errors import NOTE, OcclumError, Problem
from occlum_build.run.spec import Mount
from occlum_build.sgx.config.findings import path_text, place_of, shown
from occlum_build.sgx.config.jsontext import Node, Object, plain
from occlum_build.sgx.config.model import CheckedConfig, OcclumConfig

CODE = "run"
# Occlum's default, for an image of which no Occlum.json is known.
DEFAULT_ENV = ("OCCLUM=yes",)
_EMPTY_AT_BOOT = ("ramfs",)
_OWN = ("procfs", "devfs")  # mounted whatever a configuration says


@dataclass(frozen=True)
class RunSettings:
    """`env` has NAME=VALUE, `untrusted` the names that may come from outside of the enclave.

    `memory_bytes` is the user space of the enclave, `notes` tell what is not as in the enclave.
    """

    env: tuple[str, ...] = DEFAULT_ENV
    untrusted: tuple[str, ...] | None = None  # None: any, as there is no configuration
    mounts: tuple[Mount, ...] = ()
    memory_bytes: int | None = None
    notes: tuple[Problem, ...] = ()

    def with_env(self, outside: Mapping[str, str]) -> RunSettings:
        """With what programs get of an environment outside, as the libOS merges it; sorted."""
        merged = dict(one.partition("=")[::2] for one in self.env)
        names = outside if self.untrusted is None else self.untrusted
        merged.update((name, outside[name]) for name in names if name in outside)
        return replace(self, env=tuple(f"{name}={value}" for name, value in sorted(merged.items())))

    def check_outside(self, names: Iterable[str]) -> None:
        """Raise OcclumError `run` for variables that the enclave would not take from outside."""
        if self.untrusted is None:
            return
        refused = sorted(set(names) - set(self.untrusted))
        if refused:
            text = f"the enclave takes no {_listed(refused)} from outside"
            hint = "add it to `env.untrusted` of Occlum.json, or set it in `env.default`"
            raise OcclumError(CODE, text, hint=hint)


def settings_of(document: Node, checked: CheckedConfig, folder: str | None) -> RunSettings:
    """The settings of a configuration; sources of hostfs mounts are relative to `folder`.

    Without a folder they are empty directories, which show nothing of the host. Raises OcclumError
    `run` for one that this machine does not have.
    """
    config = checked.config
    mounts, empty = [], []
    for index, one in enumerate(config.mount):
        if one.type in _OWN or not one.target.startswith("/") or not one.target.strip("/"):
            continue
        source = ""
        if one.type == "hostfs" and folder is not None:
            source = os.path.join(folder, one.source or ".")
            if not os.path.isdir(source):
                raise _no_source(document, index, source)
        elif one.type not in _EMPTY_AT_BOOT:
            empty.append(f"{posixpath.normpath(one.target)} ({shown(one.type)})")
        mounts.append(Mount(one.target, source))
    notes = []
    if empty:
        text = f"these mounts are empty here, and what is written to them is lost: {_listed(empty)}"
        notes.append(Problem(CODE, text, severity=NOTE))
    return RunSettings(
        _texts(config, "default"),
        _texts(config, "untrusted"),
        tuple(mounts),
        checked.settings.user_space.maximum,
        tuple(notes),
    )


def _no_source(document: Node, index: int, source: str) -> OcclumError:
    path = ("mount", index)
    return OcclumError(
        CODE,
        f"{path_text(path)}: the hostfs shows {source}, which is no directory",
        place=place_of(document, path),
        hint="make it, or start the run where the configuration expects it",
    )


def _texts(config: OcclumConfig, name: str) -> tuple[str, ...]:
    node = config.env.get(name) if isinstance(config.env, Object) else None
    texts = plain(node) if node is not None else []
    found = texts if isinstance(texts, list) else []
    return tuple(one for one in found if isinstance(one, str) and _is_usable(one, name))


def _is_usable(text: str, name: str) -> bool:
    """Whether a kernel takes it; what else there is was told when the configuration was read."""
    return "\0" not in text and (name != "default" or text.find("=") > 0)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
