"""Pushes an image of a layout and what refers to it with skopeo, and looks at what came: a process.

skopeo alone knows the credentials, and it cannot ask a registry for referrers. So these are listed
under the tag of the distribution specification 1.1, "Referrers Tag Schema", too: a registry that
knows of subjects lists them by itself, and takes no harm of the tag.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MIB
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_file, too_large
from occlum_build.files.shape import ListOf, check_shape
from occlum_build.image.manifest import canonical_json
from occlum_build.oci.layout import REF_NAME, blob_path
from occlum_build.oci.referrers import INDEX_TYPE, descriptor_of, digest_of, tag_of
from occlum_build.oci.repository import Repository, parse_repository
from occlum_build.process.step import run_step
from occlum_build.shown import Lines, output_of

CODE = "oci"
USAGE = "occlum_build.oci.push LAYOUT DIGEST REPOSITORY SKOPEO TLS"
TLS, NO_TLS = "tls", "no-tls"
_MOST_BYTES = 4 * MIB  # as registries bound manifests and indexes
_MOST_TOLD = 4 << 10
_LAYOUT_INDEX = {"manifests": ListOf({"digest": str, "mediaType": str})}
_INDEX = {"schemaVersion": int, "manifests": ListOf({"digest": str})}
_TAGS = {"Tags": ListOf(str)}
_NAME = "pushed"


def push(layout: str, digest: str, repository: str, skopeo: str, tls: str) -> None:
    """Push the image of that digest to a tag, then what the layout has that refers to it.

    With `no-tls` also by plain HTTP; else as skopeo's own configuration has it.
    Raises OcclumError `oci` where skopeo fails, or the registry has something else afterwards.
    """
    index = load_json(
        read_file(Path(layout, "index.json"), _MOST_BYTES, code=CODE), "index.json", code=CODE
    )
    check_shape(index, _LAYOUT_INDEX, "index.json", code=CODE)
    image, *referrers = sorted(index["manifests"], key=lambda one: one["digest"] != digest)
    to = _Registry(parse_repository(repository), skopeo, tls == NO_TLS)
    to.push(Path(layout), image, to.repository.tag, "--preserve-digests")
    to.check(to.repository.tag, digest)
    for one in referrers:
        to.push(Path(layout), one, one["digest"], "--preserve-digests")
        to.check(one["digest"], one["digest"])
    if referrers:
        _list_referrers(to, tag_of(digest), referrers)


def _list_referrers(to: _Registry, tag: str, ours: Sequence[Mapping[str, Any]]) -> None:
    """Bring the list under the tag up to date; what others have put there stays."""
    known = to.listed(tag)
    ours_by_digest = {one["digest"]: one for one in ours}
    others = [one for one in known if one["digest"] not in ours_by_digest]
    if all(one in known for one in ours):
        return
    content = canonical_json(
        {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*others, *ours]}
    )
    with _layout_with(content) as layout:
        index = descriptor_of(INDEX_TYPE, content)
        if to.try_push(layout, index, tag, "--preserve-digests", "--multi-arch=index-only"):
            to.check(tag, index["digest"])
            return
        # skopeo before 1.16 has no `artifactType` in an index: without it ours can still be found.
        if any("artifactType" in one for one in others):
            if ours_by_digest.keys() <= {one["digest"] for one in known}:
                return
            raise OcclumError(
                CODE,
                f"{to.name(tag)} lists what others have attached to the image, whose types this "
                "skopeo would drop: the list is left as it is, and does not have what was pushed",
                hint="push with skopeo 1.16 or later",
            )
        to.push(layout, index, tag, "--multi-arch=index-only")
    if not ours_by_digest.keys() <= {one["digest"] for one in to.listed(tag)}:
        message = f"{to.name(tag)} does not list what was pushed"
        raise OcclumError(CODE, message, hint="somebody else has pushed meanwhile: publish again")


@dataclass(frozen=True)
class _Registry:
    """A repository, and the skopeo that speaks to its registry."""

    repository: Repository
    skopeo: str
    is_insecure: bool

    def name(self, place: str) -> str:
        """The full name of a tag or a digest."""
        separator = "@" if ":" in place else ":"
        return f"{self.repository.registry}/{self.repository.path}{separator}{place}"

    def push(self, layout: Path, one: Mapping[str, Any], place: str, *options: str) -> None:
        """Push a manifest of a layout to a tag or a digest; skopeo says how that goes."""
        with _named(layout, one) as source:
            command = self._copy(source, place, *options)
            if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
                raise OcclumError(CODE, f"skopeo could not push {self.name(place)}")

    def try_push(self, layout: Path, one: Mapping[str, Any], place: str, *options: str) -> bool:
        """Whether it was pushed; what skopeo says is not told."""
        with _named(layout, one) as source:
            return _run(self._copy(source, place, *options))[0] == 0

    def check(self, place: str, digest: str) -> None:
        """Raise OcclumError where the registry has something else there."""
        found = digest_of(self._raw(place))
        if found != digest:
            message = f"the registry has {found} as {self.name(place)}, and {digest} was pushed"
            raise OcclumError(
                CODE, message, hint="somebody else has pushed meanwhile, or it is bad"
            )

    def listed(self, tag: str) -> list[dict[str, Any]]:
        """The descriptors under a tag for referrers; [] where there is no such tag."""
        try:
            data = self._raw(tag)
        except OcclumError:
            # Why it fails each registry says in its own words.
            if tag in self._tags():
                raise
            return []
        index = load_json(data, self.name(tag), code=CODE)
        check_shape(index, _INDEX, self.name(tag), code=CODE)
        return list(index["manifests"])

    def _tags(self) -> Sequence[str]:
        name = f"docker://{self.repository.registry}/{self.repository.path}"
        tags = load_json(self._ask("list-tags", name), name, code=CODE)
        check_shape(tags, _TAGS, name, code=CODE)
        return list(tags["Tags"])

    def _raw(self, place: str) -> bytes:
        return self._ask("inspect", "--raw", f"docker://{self.name(place)}")

    def _ask(self, verb: str, *arguments: str) -> bytes:
        options = ("--tls-verify=false",) if self.is_insecure else ()
        code, data, told = _run((self.skopeo, "--insecure-policy", verb, *options, *arguments))
        if code:
            about = arguments[-1].partition("://")[2]
            raise OcclumError(CODE, Lines(f"skopeo cannot ask for {about}:", *output_of(told)))
        return data

    def _copy(self, source: Path, place: str, *options: str) -> Sequence[str]:
        # The host's policy says which images from elsewhere are trusted; this one was just built.
        if self.is_insecure:
            options = ("--dest-tls-verify=false", *options)
        head = (self.skopeo, "--insecure-policy", "copy", *options)
        return (*head, f"oci:{source}:{_NAME}", f"docker://{self.name(place)}")


@contextmanager
def _named(layout: Path, one: Mapping[str, Any]) -> Iterator[Path]:
    """A layout in which a manifest of another one has a name, by which skopeo takes it."""
    with tempfile.TemporaryDirectory(dir=".", prefix=".push-") as folder:
        made = Path(folder)
        (made / "blobs").symlink_to(os.path.realpath(layout / "blobs"))
        named = {key: value for key, value in one.items() if key != "artifactType"}
        index = {"schemaVersion": 2, "manifests": [{**named, "annotations": {REF_NAME: _NAME}}]}
        (made / "index.json").write_bytes(canonical_json(index))
        (made / "oci-layout").write_bytes(canonical_json({"imageLayoutVersion": "1.0.0"}))
        yield made


@contextmanager
def _layout_with(content: bytes) -> Iterator[Path]:
    """A directory with one blob."""
    with tempfile.TemporaryDirectory(dir=".", prefix=".push-") as folder:
        blob = Path(folder, blob_path(digest_of(content)))
        blob.parent.mkdir(parents=True)
        blob.write_bytes(content)
        yield Path(folder)


def _run(command: Sequence[str]) -> tuple[int, bytes, bytes]:
    """Exit code, standard output, and what was told on standard error, both within bounds."""
    with tempfile.TemporaryFile() as told:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told
        ) as process:
            data = process.stdout.read(_MOST_BYTES + 1) if process.stdout else b""
            if len(data) > _MOST_BYTES:
                process.kill()
                raise too_large(command[-1], _MOST_BYTES, CODE)
        told.seek(0)
        return process.returncode, data, told.read(_MOST_TOLD).strip()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run_step(push, sys.argv[1:], USAGE))
