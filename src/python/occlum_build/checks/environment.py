"""What the variables of an environment name and the image lacks: locales and time zones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from occlum_build.checks.files import Files, literal
from occlum_build.checks.root import Root
from occlum_build.elf.facts import LIBC
from occlum_build.errors import WARNING, Problem

# setlocale takes the first of them that is set; categories beside LC_ALL are looked up one by one.
_LOCALE_VARIABLES = re.compile(r"LANG|LC_[A-Z]+")
_POSIX_ZONE = re.compile(r"(?:[A-Za-z]{3,}|<[\w+-]+>)[+-]?\d.*|UTC|GMT|", re.ASCII)
_OWN_ZONES = ("**/libjvm.so", "**/bin/node", "**/tzdata/zoneinfo/*")


def environment_problems(root: Root, texts: Iterable[str]) -> list[Problem]:
    """Warnings `runtime-locale` and `runtime-timezone` for what programs start with, NAME=VALUE."""
    files = Files(root)
    env = {name: value for name, equals, value in (one.partition("=") for one in texts) if equals}
    return [*_locales(files, env), *_zone(files, env.get("TZ", ""))]


def _locales(files: Files, env: Mapping[str, str]) -> Iterator[Problem]:
    """Locales of glibc; musl has none to look for."""
    if not files.has_named(LIBC) or files.has("**/locale-archive"):
        return
    names = {"LC_ALL"} if env.get("LC_ALL") else {n for n in env if _LOCALE_VARIABLES.fullmatch(n)}
    lacking: dict[str, str] = {}
    for variable in sorted(names):
        locale = env[variable]
        if not _has_locale(locale, files):
            lacking.setdefault(locale, variable)
    for locale, variable in lacking.items():
        yield Problem(
            "runtime-locale",
            f"{variable}={locale} names a locale that the image does not have",
            hint=f"copy /usr/lib/locale/{_normal(locale)} (beside glibc, where it is Occlum's), "
            f"or set {variable} to C: programs fall back to C, or refuse to start",
            severity=WARNING,
        )


def _has_locale(locale: str, files: Files) -> bool:
    if locale in ("", "C", "POSIX"):  # C.UTF-8 has files, as any other
        return True
    if locale.startswith("/"):
        return files.is_file(f"{locale}/LC_CTYPE")
    return any(
        files.has(f"**/locale/{literal(name)}/LC_CTYPE")
        for name in {locale, _normal(locale), _normal(locale).partition(".")[0]}
    )


def _normal(locale: str) -> str:
    """The name as its directory has it: en_US.UTF-8 is in en_US.utf8."""
    language, dot, rest = locale.partition(".")
    charset, at, modifier = rest.partition("@")
    return f"{language}{dot}{re.sub('[^a-z0-9]', '', charset.lower())}{at}{modifier}"


def _zone(files: Files, value: str) -> Iterator[Problem]:
    zone = value[1:] if value.startswith(":") else value
    if _POSIX_ZONE.fullmatch(zone) or any(files.has(one) for one in _OWN_ZONES):
        return
    if not (files.is_file(zone) if zone[0] == "/" else files.has(f"**/zoneinfo/{literal(zone)}")):
        yield Problem(
            "runtime-timezone",
            f"TZ={value} names a time zone that the image does not have",
            hint=f"copy /usr/share/zoneinfo/{zone.lstrip('/')}, or programs take it for UTC",
            severity=WARNING,
        )
