"""Names of others in packages, in archives of these, and in what a lock is made of."""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
from typing import Any

from hostile.evil_names import World
from occlum_build.packages.testing_archive import Archive, keyring, stanza
from occlum_build.packages.testing_debs import Item, ar_of, deb_of, directory, link, tar_of

_CONFIGS = (
    '{"archives": [%s]}',
    '{"archives": [{%s: 1}]}',
    '{"packages": [%s]}',
    '{"packages": ["app", %s]}',
    '{"debs": [%s], "without": [%s]}',
    '{"links": {%s: "x"}, "made": [%s]}',
    '{"links": {"/x": %s}}',
    "{%s: 1}",
    "[%s",
)
_ARCHIVES = ("name", "mirrors", "suites", "components", "keyring", "only")
_FIELDS = (
    "Package",
    "Version",
    "Architecture",
    "Filename",
    "Depends",
    "Provides",
    "Conflicts",
    "SHA256",
    "Size",
)


def look_at_debs(world: World) -> None:
    """Members, links, fields and scripts of .deb files; their own names, too."""
    name, text = world.name, world.text
    scripts = {
        "postinst": f"#!/bin/sh\nupdate-alternatives --install /x '{text}' '{text}' 9\n"
        f"'{text}' --do\nln -s '{text}' /y\nupdate-alternatives --install $z '{text}' /y 1\n",
        "preinst": f"#!{text}\n",
    }
    plain = [Item(f"./{name}", b"x"), directory(f"./{name}.d"), link("./l", name)]
    debs = {
        "members": deb_of(items=plain),
        "twice": deb_of(items=[Item(f"./{name}"), Item(f"./{name}")]),
        "below a link": deb_of(items=[link(f"./{name}", "x"), Item(f"./{name}/y")]),
        "device": deb_of(items=[Item(f"./{name}", b"", 0o644, tarfile.CHRTYPE)]),
        "outside": deb_of(items=[Item(f"../{name}")]),
        "scripts": deb_of(scripts=scripts),
        "ar": ar_of([("debian-binary", b"2.0\n"), (world.text[:5], tar_of([]))]),
        "other": deb_of("other", items=[Item(f"./{name}", b"another")]),
        "link": deb_of("link", items=[link(f"./{name}", "another")]),
        **{
            f"field {field}": deb_of(fields={field: world.text.replace("\n", "\n ")})
            for field in (
                "Package",
                "Version",
                "Architecture",
                "Depends",
                "Pre-Depends",
                world.text,
            )
        },
    }
    for what, data in debs.items():
        (world.path / f"{what}.deb").write_bytes(data)
        _unpack(world, "--deb", f"{what}.deb")
    for other in ("other", "link"):
        _unpack(world, "--deb", "members.deb", f"{other}.deb")
    (world.path / "debs").mkdir()
    (world.path / "debs" / f"{name}.deb").write_bytes(debs["members"])
    _unpack(world, "--deb", "debs")
    (world.path / "debs" / f"{name}.deb").write_bytes(world.bytes)
    _unpack(world, "--deb", "debs")
    _unpack(world, "--deb", f"debs/{name}")


def look_at_configurations(world: World) -> None:
    """What is asked for, where, and what a lock file says."""
    text = json.dumps(world.text)
    for config in _CONFIGS:
        value = config.replace("%s", text)
        if value.startswith("{"):
            value = json.dumps(_config(world, **json.loads(value)))
        _lock(world, value)
    (archive,) = _config(world)["archives"]
    for key in _ARCHIVES:
        for given in (world.text, [world.text], {world.text: 1}):
            _lock(world, json.dumps(_config(world, archives=[{**archive, key: given}])))


def look_at_locks(world: World) -> None:
    """A lock file in each line of which something else stands."""
    archive = Archive(world.path / "archive")
    (world.path / "key.asc").write_bytes(keyring())
    files = [Item("./usr/share/base-passwd/passwd.master", b"root:*:0:0::/:/bin/sh\n")]
    archive.suite(stanzas=[archive.deb("app"), archive.deb("base-passwd", items=files)])
    config = _config(world, packages=["app", "base-passwd"], links={"/x": "y"})
    told = _lock(world, json.dumps(config))
    assert "new.lock: 2 packages" in told, told
    lines = [json.loads(line) for line in (world.path / "new.lock").read_text().splitlines()]
    assert {line.get("type") for line in lines} == {None, "suite", "package", "link", "made"}
    for at, line in enumerate(lines):
        for key in line:
            changed = [*lines[:at], {**line, key: world.text}, *lines[at + 1 :]]
            rows = [json.dumps(one, sort_keys=True, separators=(",", ":")) for one in changed]
            (world.path / "l.lock").write_text("\n".join(rows) + "\n")
            _with_lock(world)
    (world.path / "l.lock").write_bytes(world.bytes)
    _with_lock(world)


def look_at_archives(world: World) -> None:
    """What an index says that the right key signed, and what a Release says."""
    archive = Archive(world.path / "archive")
    (world.path / "key.asc").write_bytes(keyring())
    folded = world.text.replace("\n", "\n ")
    whole = dict(line.split(": ", 1) for line in stanza("app").splitlines() if line)
    for field in _FIELDS:
        for value in (folded, f"app, {folded} (>= 1) | b"):
            fields = {**whole, field: value}
            text = "".join(f"{key}: {fields[key]}\n" for key in fields) + "\n"
            index = lzma.compress(text.encode("utf-8", "surrogateescape"))
            archive.suite(more={"main/binary-amd64/Packages.xz": index})
            _lock(world, json.dumps(_config(world)))
    for fields in ({"Suite": folded}, {"Date": folded}, {"Valid-Until": folded}, {folded: "x"}):
        archive.suite(stanzas=[stanza("app")], fields=fields)
        _lock(world, json.dumps(_config(world)))
    for place in ("InRelease", "main/binary-amd64/Packages.xz"):
        archive.suite(stanzas=[stanza("app")])
        (archive.root / "dists/stable" / place).write_bytes(world.bytes)
        _lock(world, json.dumps(_config(world)))


def _config(world: World, **changes: Any) -> dict[str, Any]:
    archive = {
        "name": "debian",
        "mirrors": [f"file:{world.path}/archive"],
        "suites": ["stable"],
        "components": ["main"],
        "keyring": "key.asc",
    }
    return {"archives": [archive], "packages": ["app"], **changes}


def _unpack(world: World, *arguments: str) -> None:
    shutil.rmtree(world.path / "root", ignore_errors=True)
    world.run("packages", "unpack", "root", *arguments)


def _lock(world: World, config: str) -> str:
    (world.path / "c.yaml").write_text(config, "utf-8", "surrogateescape")
    return world.run(
        "packages", "lock", "c.yaml", "--lock", "new.lock", "--diff", "--cache", "cache"
    )


def _with_lock(world: World) -> None:
    for name in ("root", "mirror"):
        shutil.rmtree(world.path / name, ignore_errors=True)
    world.run("packages", "check", "c.yaml", "--lock", "l.lock", "--cache", "cache")
    world.run("packages", "mirror", "c.yaml", "mirror", "--lock", "l.lock", "--cache", "cache")
    world.run("packages", "unpack", "root", "--lock", "l.lock", "c.yaml", "--cache", "cache")
