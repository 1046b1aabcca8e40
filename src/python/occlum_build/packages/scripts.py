"""What maintainer scripts of a package would do (Debian Policy, chapter 6); none is ever run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from occlum_build.files.compressed import BadArchive
from occlum_build.packages.alternatives import PROGRAM, Alternative, alternatives_in
from occlum_build.packages.paths import of_root
from occlum_build.packages.shell import Command, commands_of
from occlum_build.packages.shell_values import Argument, TooLong
from occlum_build.shown import quoted, some

SCRIPTS = ("preinst", "postinst")  # of a first installation
_SHELL = re.compile(rb"#![ \t]*\S*/(?:env[ \t]+)?(?:ba|da|k)?sh\b")
_DIVERT = "dpkg-divert"
_DIVERT_VALUES = frozenset(["--package", "--divert", "--admindir", "--instdir", "--root"])
# What changes files of a root beyond what we make. What is left out has no effect on an image:
# services, debconf, caches of compiled Python, ld.so.cache, what is done after an upgrade.
_EFFECTS = frozenset([
    "a2enconf", "a2enmod", "a2ensite", "add-shell", "addgroup", "adduser", "chgrp", "chmod",
    "chown", "cp", "dpkg-divert", "dpkg-statoverride", "fc-cache", "gdk-pixbuf-query-loaders",
    "gio-querymodules", "glib-compile-schemas", "groupadd", "gtk-query-immodules-3.0",
    "gtk-update-icon-cache", "install", "install-info", "install-sgmlcatalog", "ln",
    "locale-gen", "mkdir", "mkfontdir", "mkfontscale", "mknod", "mktexlsr", "mv",
    "pam-auth-update", "phpenmod", "pwconv", "setcap", "shadowconfig", "systemd-hwdb",
    "systemd-sysusers", "systemd-tmpfiles", "texhash", "touch", "ucf", "update-alternatives",
    "update-binfmts", "update-ca-certificates", "update-desktop-database",
    "update-fonts-alias", "update-fonts-dir", "update-fonts-scale", "update-icon-caches",
    "update-inetd", "update-menus", "update-mime-database", "update-passwd", "update-shells",
    "update-texmf", "update-xmlcatalog", "useradd", "usermod",
])  # fmt: skip
_MOST_SHOWN = 20  # commands that one sentence names


class ScriptFacts(NamedTuple):
    """What is known of a package's scripts: alternatives, diverted paths, and what is told."""

    alternatives: tuple[Alternative, ...]
    diversions: tuple[str, ...]
    told: tuple[str, ...]


def read_scripts(scripts: Mapping[str, bytes], merged_usr: bool) -> ScriptFacts:
    """Of those of SCRIPTS that a package has, by name."""
    commands: dict[str, list[Command]] = {}
    told: list[str] = []
    for name in SCRIPTS:
        script = scripts.get(name)
        if script is None:
            continue
        if not _SHELL.match(script):
            told.append(f"{name} is no shell script: not imitated")
            continue
        try:
            commands[name] = commands_of(script.decode("utf-8", "replace"), {"DPKG_ROOT": ""})
        except TooLong:
            told.append(f"{name} is too long to be followed: not imitated")
    alternatives, unread = alternatives_in(commands.get("postinst", []))
    diversions = _diversions(commands.get("preinst", []), merged_usr)
    told += (_unread(command) for command in unread)
    for name, found in commands.items():
        done = {PROGRAM, _DIVERT} if name == "preinst" else {PROGRAM}
        effects = sorted({one.name for one in found} & (_EFFECTS - done))
        if effects:
            told.append(f"{name} runs {some(effects, _MOST_SHOWN)}: not imitated")
    return ScriptFacts(tuple(alternatives), diversions, tuple(told))


def _unread(command: Command) -> str:
    return f"postinst has an alternative that cannot be read: {quoted(str(command))}"


def _diversions(commands: Iterable[Command], merged_usr: bool) -> tuple[str, ...]:
    """The paths that commands divert, sorted."""
    found = set()
    for command in commands:
        if command.name == _DIVERT and (path := _diverted(command.words[1:])):
            try:
                found.add(of_root(path, merged_usr))
            except BadArchive:
                continue  # dpkg-divert would refuse it too
    return tuple(sorted(found))


def _diverted(words: Sequence[Argument]) -> str:
    """The path that dpkg-divert(1) is told to add; "" where it does something else."""
    if {"--remove", "--list", "--listpackage", "--truename"} & {*words}:
        return ""
    path: Argument = ""
    is_value = False
    for word in words:
        if is_value or (word is not None and word.startswith("-")):
            is_value = not is_value and word in _DIVERT_VALUES
        else:
            path = word
    return path or ""
