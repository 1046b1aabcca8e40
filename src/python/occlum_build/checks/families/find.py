"""What of the table of run-time families is in use in an image and lacks a file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from occlum_build.checks.families.many import CopiedWhole
from occlum_build.checks.families.model import Config, Family, Finding, Need
from occlum_build.checks.files import Files, literal
from occlum_build.checks.root import Root
from occlum_build.errors import NOTE, Problem
from occlum_build.image.entries import DIR
from occlum_build.shown import listed, some

_FEW_NAMES = 200
# Letters and the like; the last one is left out where it may be followed by how often it comes.
_GROUP = re.compile(r"\([^()]*\)")
_PLAIN_BEGIN = re.compile(r"(?:[\w-](?![*?{]))*")
ANY = "*"  # what a group took no part in may be


class _Seen(NamedTuple):
    """A file that shows a family, with what the groups of its patterns matched."""

    path: str
    groups: Mapping[str, str]


def family_problems(root: Root, families: Sequence[Family]) -> list[Problem]:
    """What is in use and incomplete, in the order of the table, one line for each reason."""
    files, many, problems = Files(root), CopiedWhole(root), []
    candidates = _candidates(root, families)
    of_many: dict[str, str] = {}  # path -> title of its family
    for family in families:
        seen = sorted(  # the first one is named
            _seen(family, candidates[family.files], files),
            key=lambda one: many.has(one.path),
        )
        alone = {one.path for one in seen if not many.has(one.path)}
        for finding in dict.fromkeys(_findings(family, seen, files)):
            # A configuration counts where one of its programs does.
            if finding.path in alone or (alone and _is_configuration(finding, seen)):
                problems.append(_problem(family, finding, root))
            else:
                of_many.setdefault(seen[0].path, family.title)
    if of_many:
        problems.append(_note_of_many(of_many))
    return list(dict.fromkeys(problems))


def _is_configuration(finding: Finding, seen: Sequence[_Seen]) -> bool:
    return all(finding.path != one.path for one in seen)


def _problem(family: Family, finding: Finding, root: Root) -> Problem:
    entry = root.at(finding.path)
    place = entry.origin.place if entry is not None else None
    return Problem(family.code, finding.message, place, finding.hint, severity=finding.severity)


def _note_of_many(titles: Mapping[str, str]) -> Problem:
    return Problem(
        "runtime",
        f"{some(list(titles))} came with many other programs, and what they open at run time is "
        f"not in the image ({some(list(dict.fromkeys(titles.values())))})",
        hint="if you run one of them, name it under `files`, to be told what it needs",
        severity=NOTE,
    )


def _candidates(root: Root, families: Sequence[Family]) -> dict[str, list[str]]:
    """Pattern of base names -> the paths of the regular files that have one, sorted."""
    patterns = sorted({family.files for family in families})
    names = root.names
    if len(names) > _FEW_NAMES:
        anonymous = (re.sub(r"\(\?P<\w+>", "(?:", pattern) for pattern in patterns)
        any_of_them = re.compile("|".join(f"(?:{one})" for one in anonymous)).fullmatch
        names = [name for name in names if any_of_them(name)]
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        # To compile all patterns takes longer than the check of a small image.
        begins = begins_of(pattern)
        likely = [name for name in names if name.startswith(begins)]
        matches = re.compile(pattern).fullmatch if likely else None
        found[pattern] = sorted(
            path for name in likely if matches and matches(name) for path in root.named(name)
        )
    return found


def begins_of(pattern: str) -> tuple[str, ...]:
    """With one of these all that a pattern of the table matches begins; "" where that is open."""
    while (flat := _GROUP.sub(".", pattern)) != pattern:
        pattern = flat
    begins = map(_PLAIN_BEGIN.match, pattern.split("|"))
    return tuple(begin[0] if begin is not None else "" for begin in begins)


def _seen(family: Family, paths: Iterable[str], files: Files) -> Iterator[_Seen]:
    for path in paths:
        place = re.fullmatch(family.at, path)
        name = re.fullmatch(family.files, posixpath.basename(path))
        if place is None or name is None or not _is_of(family, path, files.root):
            continue
        groups = {**place.groupdict(), **name.groupdict()}
        yield _Seen(path, {key: ANY if value is None else value for key, value in groups.items()})


def _is_of(family: Family, path: str, root: Root) -> bool:
    """Whether the content is what the family says: an ELF file, linked with certain libraries."""
    if not family.elf:
        return True
    facts = root.facts(path)
    if facts is None:
        return False
    libraries = " ".join(facts.needed)
    if family.not_linked and re.search(family.not_linked, libraries):
        return False
    return not family.linked or re.search(family.linked, libraries) is not None


def _findings(family: Family, seen: Sequence[_Seen], files: Files) -> Iterator[Finding]:
    lacking: dict[tuple[Need, ...], list[str]] = {}  # needs with their words -> who has them
    for one in seen:
        needs = [need for need in family.needs if not _is_met(need, one, files)]
        for severity in sorted({need.severity for need in needs}, reverse=True):
            words = tuple(_worded(need, one) for need in needs if need.severity == severity)
            lacking.setdefault(words, []).append(one.path)
    for words, paths in lacking.items():
        yield _lacks(paths, words)
    for config in family.configs if seen else ():
        yield from _named(config, files)
    if family.check is not None:
        for one in seen:
            yield from family.check(files, one.path)


def _is_met(need: Need, seen: _Seen, files: Files) -> bool:
    groups = {key: value if value == ANY else literal(value) for key, value in seen.groups.items()}
    return any(files.has(pattern.format_map(groups)) for pattern in need.one_of)


def _worded(need: Need, seen: _Seen) -> Need:
    what, add = need.what.format_map(seen.groups), need.add.format_map(seen.groups)
    return need._replace(what=what, add=add)


def _lacks(paths: Sequence[str], needs: Sequence[Need]) -> Finding:
    severity = needs[0].severity
    verb = "can use" if severity == NOTE else "need" if len(paths) > 1 else "needs"
    what = listed([need.what for need in needs])
    message = f"{some(paths, 1)} {verb} {what}, which the image does not have"
    return Finding(paths[0], message, "; ".join(dict.fromkeys(n.add for n in needs)), severity)


def _named(config: Config, files: Files) -> Iterator[Finding]:
    """The files that a configuration names and the image lacks, as one finding."""
    lacking: dict[str, str] = {}
    for path in dict.fromkeys(one for pattern in config.paths for one in files.matching(pattern)):
        for name in _names_in(config, path, files.root):
            if not _is_there(name, path, config, files):
                lacking.setdefault(posixpath.dirname(name) if config.is_written else name, path)
    if not lacking:
        return
    configs = list(dict.fromkeys(lacking.values()))
    verb = "names" if len(configs) == 1 else "name"
    what = "files in " if config.is_written else ""
    names = f"{what}{some(list(lacking))}"
    message = f"{some(configs, 1)} {verb} {names}, which the image does not have"
    yield Finding(configs[0], message, config.add)


def _names_in(config: Config, path: str, root: Root) -> Iterator[str]:
    """The files that one configuration names, in order."""
    search = re.compile(config.names).search
    for line in root.lines(path, config.comment):
        found = search(line)
        names = found[1] if found is not None else ""
        for one in re.split(config.split, names) if config.split else [names]:
            if name := one.strip():
                yield re.sub(r"\.(so|la)$", "", name) + config.suffix if config.suffix else name


def _can_be_written(name: str, files: Files) -> bool:
    root, directory = files.root, posixpath.dirname(name)
    if root.kind(directory) == DIR:
        return True
    while root.resolve(directory) is None:
        directory = posixpath.dirname(directory)
    above = root.resolve(directory)
    return above != "/" and above not in files.filled


def _is_there(name: str, path: str, config: Config, files: Files) -> bool:
    if config.is_written:
        return _can_be_written(name, files)
    if name.startswith("/"):
        return files.is_file(name)
    if config.beside:
        directory = posixpath.dirname(path)
        looked_in = [posixpath.join(directory, one) for one in config.beside]
        return any(files.is_file(posixpath.join(one, name)) for one in looked_in)
    return files.has_named(posixpath.basename(name))
