"""A key file that is replaced at any moment: one key is used, and it is the one that is recorded.

The command line is run with the key file replaced at the Nth file that it opens, for many N; Pants
with a key that is replaced as soon as its fingerprint was taken. And with links and whatever else
in the places of an instance: a key is written nowhere but into the tree that it is built into.
How many were tried is recorded.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from built_enclave import (
    TOOLCHAIN,
    built_enclave,
    image_key_file,
    listing_of,
    signing_key_files,
    small_enclave,
    unpacked_toolchain,
)
from occlum_build.errors import OcclumError
from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings
from occlum_build.occlum.fresh import init_instance, make_instance, plan_fresh
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.signing import KeyFile, open_signer
from occlum_build.occlum.testing import run_process
from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import read_key_file
from occlum_build.sgx.measurement import has_valid_signature, read_sigstruct
from pants_runner import PantsRunner, pants_runner

Record = Callable[[str, object], None]
_tried: list[str] = []
# Directories that images and initfs of new instances have both.
NAMES = ("bin", "lib", "dev", "proc", "etc")
OTHER_KEY = "01-23-45-67-89-ab-cd-ef-01-23-45-67-89-ab-cd-ef"


class Replaced:
    """A key file that becomes another one when a process of ours opens its Nth file."""

    def __init__(self) -> None:
        self.opened = 0
        self._at, self._file, self._other = -1, Path(), Path()
        sys.addaudithook(self._note)

    def arm(self, at: int, file: Path, first: Path, other: Path) -> None:
        shutil.copy2(first, file)
        self.opened, self._at, self._file, self._other = 0, at, file, other

    def _note(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if event != "open":
            return
        self.opened += 1
        if self.opened == self._at:
            self._at = -1
            new = self._file.with_suffix(".new")
            shutil.copy2(self._other, new)
            os.replace(new, self._file)


@pytest.fixture(scope="module")
def replaced() -> Replaced:
    return Replaced()


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_toolchain(tmp_path_factory.mktemp("toolchain"))


@pytest.fixture
def request_of(tmp_path: Path, toolchain: Path) -> BuildRequest:
    make_instance(tmp_path / "instance", plan_fresh(toolchain))
    sign_key = shutil.copy(signing_keys(tmp_path)[0], tmp_path / "sign.pem")
    return BuildRequest(
        tmp_path / "instance",
        toolchain,
        Settings(),
        KeyFile(Path(sign_key)),
        image_key_file(tmp_path / "key"),
        buildin_image_key=True,
        force=True,
    )


def signing_keys(folder: Path) -> tuple[Path, Path]:
    keys = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        keys.append(signing_key_files(folder / name)[0])
    return keys[0], keys[1]


def test_image_key_that_is_replaced(
    request_of: BuildRequest, tmp_path: Path, replaced: Replaced, record_property: Record
) -> None:
    first = image_key_file(tmp_path / "first")
    other = image_key_file(tmp_path / "other", OTHER_KEY)
    by_fingerprint = {read_key_file(key).fingerprint(): key for key in (first, other)}
    assert request_of.image_key is not None
    replaced.arm(-1, request_of.image_key, first, other)
    build(request_of)
    seen, tried = set(), 0
    for at in range(1, replaced.opened + 2, max(1, replaced.opened // 40)):
        replaced.arm(at, request_of.image_key, first, other)
        measured = build(request_of).measurement
        tried += 1
        key = by_fingerprint[measured["inputs"]["image"]["key_fingerprint"]]
        seen.add(key)
        out = tmp_path / f"out{at}"
        unzip_image(request_of.instance / "build/mount/__ROOT", out, read_key_file(key))
        unzip_image(request_of.instance / "build/initfs/__ROOT", tmp_path / f"initfs{at}")
        assert (tmp_path / f"initfs{at}/etc/image_key").read_bytes() == key.read_bytes()
    assert seen == {first, other}
    record_property("moments at which the image key was replaced", tried)


def test_signing_key_that_is_replaced(
    request_of: BuildRequest, tmp_path: Path, replaced: Replaced, record_property: Record
) -> None:
    first, other = tmp_path / "one/private.pem", tmp_path / "two/private.pem"
    assert isinstance(request_of.signer, KeyFile)
    signers = {open_signer(KeyFile(key)).mrsigner for key in (first, other)}
    replaced.arm(-1, request_of.signer.path, first, other)
    build(request_of)
    seen, tried = set(), 0
    for at in range(1, replaced.opened + 2, max(1, replaced.opened // 20)):
        replaced.arm(at, request_of.signer.path, first, other)
        measured = build(request_of).measurement
        tried += 1
        signed = request_of.instance / "build/lib/libocclum-libos.signed.so"
        sigstruct = read_sigstruct(signed.read_bytes())
        assert has_valid_signature(sigstruct)
        assert sigstruct.mrsigner.hex() == measured["mrsigner"] in signers
        seen.add(measured["mrsigner"])
    assert seen == signers
    record_property("moments at which the signing key was replaced", tried)


@pytest.mark.parametrize("text", ["", "short\n", OTHER_KEY[:-1] + "g\n", OTHER_KEY + " \n"])
def test_key_file_that_became_none(request_of: BuildRequest, text: str) -> None:
    assert request_of.image_key is not None
    request_of.image_key.write_text(text)
    with pytest.raises(OcclumError, match="16 hex pairs"):
        build(request_of)
    assert not (request_of.instance / "build").exists()


# Where it is written

LINKS = {
    "out": "../../outside",
    "out, absolute": "{}/outside",
    "out, to a directory in it": "../../outside/d",
    "within": "cfg",
    "to the key's own directory": "{}",
    "to nothing": "nothing",
    "to itself": "etc",
    "up": "..",
}
OBSTACLES = ["file", "fifo", "image_key", "image_config.json", "init_ra_conf.json"]


def _put_link(instance: Path, target: str) -> None:
    (instance / "initfs/etc").rename(instance / "initfs/cfg")
    (instance / "initfs/etc").symlink_to(target.format(instance.parent))


def _put_obstacle(instance: Path, kind: str) -> None:
    etc = instance / "initfs/etc"
    if kind in ("file", "fifo"):
        shutil.rmtree(etc)
        os.mkfifo(etc) if kind == "fifo" else etc.touch()
    else:
        (etc / kind / "d").mkdir(parents=True)


@pytest.fixture
def unsigned(tmp_path: Path, toolchain: Path) -> BuildRequest:
    """A build without a signing key, which takes long to make."""
    make_instance(tmp_path / "instance", plan_fresh(toolchain))
    key = image_key_file(tmp_path / "key")
    return BuildRequest(tmp_path / "instance", toolchain, Settings(), image_key=key)


@pytest.fixture
def around(unsigned: BuildRequest, tmp_path: Path) -> Path:
    """What is beside the instance, and must stay as it is."""
    (tmp_path / "outside/d").mkdir(parents=True)
    for name in ("image_key", "image_config.json", "d/image_key"):
        (tmp_path / "outside" / name).write_text("mine")
    (unsigned.instance / "init_ra_conf.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("is_wrong", [False, True])
@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize("case", [*LINKS, *OBSTACLES])
def test_a_key_is_written_into_its_place_or_nowhere(
    unsigned: BuildRequest, around: Path, case: str, has_key: bool, is_wrong: bool
) -> None:
    """By `build`: also where that fails for another reason."""
    instance = unsigned.instance
    _put_link(instance, LINKS[case]) if case in LINKS else _put_obstacle(instance, case)
    if is_wrong:
        (instance / "Occlum.json").write_text("{")
    key = unsigned.image_key if has_key else None
    before = listing_of(around)
    if case == "image_key" and not has_key and not is_wrong:
        build(replace(unsigned, image_key=key, buildin_image_key=False))  # nothing is in its way
        assert listing_of(around / "outside") == {
            path[8:]: found for path, found in before.items() if path.startswith("outside/")
        }
        return
    with pytest.raises(OcclumError) as error:
        build(replace(unsigned, image_key=key, buildin_image_key=has_key))
    (problem,) = error.value.problems
    assert is_wrong or ("initfs/etc" in str(problem) and problem.hint)
    assert listing_of(around) == before
    _tried.append(case)


@pytest.mark.parametrize("case", [*LINKS, *OBSTACLES])
def test_the_process_of_an_initfs_writes_a_key_into_its_place_or_nowhere(
    unsigned: BuildRequest, around: Path, toolchain: Path, case: str
) -> None:
    """As Pants starts it."""
    instance = unsigned.instance
    _put_link(instance, LINKS[case]) if case in LINKS else _put_obstacle(instance, case)
    asked = {"version": "0.31.0", "sgx_mode": "HW", "image_type": "encrypted"}
    asked.update(tree="instance/initfs", image_key="key", init_ra_conf="instance/Occlum.json")
    (around / "request.json").write_text(json.dumps(asked))
    before = listing_of(around)
    ran = run_process(around, "initfs", "request.json", str(toolchain), "out")
    assert ran.returncode and "initfs/etc" in ran.stderr, ran
    assert "Traceback" not in ran.stderr, ran
    assert listing_of(around) == before
    _tried.append(case)


PLACES = ["image", "initfs", *(f"{top}/{name}" for top in ("image", "initfs") for name in NAMES)]


@pytest.mark.parametrize("leads", ["out", "within", "to nothing"])
@pytest.mark.parametrize("place", PLACES)
def test_init_writes_through_no_link(around: Path, toolchain: Path, place: str, leads: str) -> None:
    (around / "mine/other").mkdir(parents=True)
    link = around / "mine" / place
    link.parent.mkdir(exist_ok=True)
    targets = {"out": around / "outside", "within": around / "mine/other"}
    link.symlink_to(targets.get(leads, Path("nothing")))
    before = listing_of(around)
    with pytest.raises(OcclumError, match="is a symlink, where a directory belongs") as error:
        init_instance(around / "mine", plan_fresh(toolchain))
    assert error.value.problems[0].hint
    assert listing_of(around) == before
    _tried.append(place)


def test_how_many_were_tried(record_property: Record) -> None:
    record_property("links and other things in the places of an instance", len(_tried))


# Pants


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=(TOOLCHAIN,)) as runner:
        yield runner


def test_image_key_that_is_replaced_while_pants_encrypts(
    pants: PantsRunner, tmp_path: Path, record_property: Record
) -> None:
    keys = [image_key_file(tmp_path / "a"), image_key_file(tmp_path / "b", OTHER_KEY)]
    fingerprint = read_key_file(keys[0]).fingerprint()
    address = small_enclave(pants, "encrypted", encrypt=True, buildin_image_key=True)
    enclave = built_enclave(pants, address)
    file = tmp_path / "key"
    env = {"PANTS_OCCLUM_IMAGE_KEY_FILE": str(file)}

    def check(key: Path) -> None:
        recorded = enclave.measurement["inputs"]["image"]["key_fingerprint"]
        assert recorded == read_key_file(key).fingerprint()
        for name, used in (("mount", read_key_file(key)), ("initfs", None)):
            out = tmp_path / f"{name}-{key.name}-{time.monotonic_ns()}"
            unzip_image(enclave.instance / f"build/{name}/__ROOT", out, used)
        assert (out / "etc/image_key").read_bytes() == key.read_bytes()

    shutil.copy2(keys[0], file)
    link = pants.top / "named_caches/occlum_image_key" / fingerprint

    def replace() -> None:
        while not link.is_symlink():
            time.sleep(0.0005)
        shutil.copy2(keys[1], tmp_path / "new")
        os.replace(tmp_path / "new", file)

    thread = threading.Thread(target=replace)
    thread.start()
    run = pants.run("package", address, env=env)
    thread.join()
    if run.exit_code:  # it was replaced before the process read it
        assert "the key file holds another key than when the build began" in run.stderr
        assert "Traceback" not in run.stderr
        assert not enclave.folder.exists()
    else:
        check(keys[0])
    shutil.copy2(keys[0], file)
    pants.run("package", address, env=env).expect(0)
    check(keys[0])
    shutil.copy2(keys[1], file)
    pants.run("package", address, env=env).expect(0)
    check(keys[1])
    for path in (enclave.instance / "build/initfs/__ROOT").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    record_property("keys that were replaced while Pants ran", 3)
