"""Runtime boot that ./pants builds: the layers, the template, errors, and where the key is not."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from built_enclave import (
    TOOLCHAIN,
    BuiltEnclave,
    built_enclave,
    image_key_file,
    listing_of,
)
from leaks import found_below, image_key_forms
from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.keys import read_key_file
from pants_runner import OURS, PantsRunner, pants_runner
from recorded_run import BACKENDS, RecordedRun, run_recorded

PROJECT, INIT_SOURCE = "testprojects/boot", "src/c/boot_init.c"
PARTS = (PROJECT, TOOLCHAIN, BACKENDS, "src/c")
SHELL = "pants.backend.shell"
ROOTFS, BOOT = f"{PROJECT}:rootfs", f"{PROJECT}:boot"
SEAL = f"Make the secure file system of {ROOTFS}"
TARGETS = """\
occlum_rootfs(
    name="rootfs", image="{image}", lower="../lower", upper="../upper", {key}, {rootfs}
)
occlum_enclave(
    name="boot",
    boot="{boot}",
    image="//testprojects/boot:{template}",
    toolchain="//testprojects/toolchain",
    {fields}
)
"""
KEY_FILE = 'key_file="/etc/image_key"'
INIT = 'init="init"'


def _build_init(path: Path, *link: str) -> None:
    compiler = shutil.which("musl-gcc")
    if compiler is None:
        pytest.skip("there is no musl-gcc on this machine")
    subprocess.run([compiler, "-Os", *link, "-o", path, INIT_SOURCE], check=True)


@contextlib.contextmanager
def _project(top: Path, *options: str) -> Iterator[PantsRunner]:
    with pants_runner(top, parts=PARTS, backends=(*OURS, SHELL), options=options) as runner:
        _build_init(runner.build_root / PROJECT / "init", "-fPIE", "-pie")
        yield runner


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    (top / "sandboxes").mkdir()
    # All that a process gets stays, so that it can be searched.
    kept = (f"--local-execution-root-dir={top}/sandboxes", "--keep-sandboxes=always", "-ldebug")
    with _project(top, *kept) as runner:
        yield runner


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a fresh key, as no text of the project may hold it."""
    folder = tmp_path_factory.mktemp("keys")
    return image_key_file(folder / "the-image-key", secrets.token_bytes(16).hex("-"))


def _package(pants: PantsRunner, key: Path, *addresses: str, exit_code: int = 0) -> RecordedRun:
    option = f"--occlum-image-key-file={key}"
    return run_recorded(pants, option, "package", *addresses, exit_code=exit_code)


@pytest.fixture(scope="module")
def first(pants: PantsRunner, key: Path) -> RecordedRun:
    """The first build of everything."""
    return _package(pants, key, ROOTFS, BOOT, f"{PROJECT}:image")


@pytest.fixture
def rootfs(pants: PantsRunner, first: RecordedRun) -> Path:
    """The folder of the root file system in dist."""
    return pants.dist / "testprojects.boot/rootfs"


@pytest.fixture
def boot(pants: PantsRunner, first: RecordedRun) -> BuiltEnclave:
    return built_enclave(pants, BOOT)


def test_lower_layer_is_the_image(
    pants: PantsRunner, rootfs: Path, key: Path, tmp_path: Path
) -> None:
    assert sorted(os.listdir(rootfs)) == [
        *("graph.json", "image.digest", "lower", "manifest.json", "upper")
    ]
    assert listing_of(rootfs / "upper") == {}
    layer = listing_of(rootfs / "lower")
    assert "metadata" in layer
    assert {mode for mode, _ in layer.values()} == {"-rw-r--r--"}
    greeting = b"from a root file system"
    assert not any(greeting in content for _, content in layer.values())

    unzip_image(rootfs / "lower", tmp_path / "tree", read_key_file(key))

    image = rootfs.parent / "image"
    assert listing_of(tmp_path / "tree") == listing_of(image / "image")
    assert greeting in (tmp_path / "tree/bin/greet").read_bytes()
    for name in ("image.digest", "manifest.json"):
        assert (rootfs / name).read_bytes() == (image / name).read_bytes()


def test_template(pants: PantsRunner, boot: BuiltEnclave) -> None:
    initfs = boot.instance / "initfs"
    assert (initfs / "etc/boot.conf").read_text() == (
        "lower=/sefs/lower\nupper=/sefs/upper\nentry_point=/bin/greet\nhostfs_source=/srv\n"
        "key_file=/etc/image_key\nenv=GREETING=Hello\n"
    )
    init = pants.build_root / PROJECT / "init"  # as the command in docs/runtime-boot.md makes it
    assert (initfs / "bin/init").read_bytes() == init.read_bytes()
    measured = boot.measurement["inputs"]["initfs"]
    assert {"/bin/init", "/etc/boot.conf"} < measured.keys()
    assert not (initfs / "etc/image_key").exists()
    system = json.loads((boot.instance / "build/.Occlum_sys.json").read_text())
    (app,) = (one for one in system["app"] if one["stage"] == "app")
    (root,) = (one for one in app["mount"] if one["type"] == "unionfs")
    assert [("MAC" in layer.get("options", {})) for layer in root["options"]["layers"]] == [
        *(True, False)
    ]


def test_key_is_nowhere(pants: PantsRunner, first: RecordedRun, key: Path) -> None:
    forms = image_key_forms(key)
    plain = {"the image": b"from a root file system"}
    assert found_below(pants.top / "store", plain) and found_below(pants.top / "sandboxes", plain)
    assert [link for link in (pants.top / "sandboxes").glob("*/.key") if link.is_symlink()]
    assert found_below(pants.top, forms) == []
    printed = (first.result.stdout + first.result.stderr).encode()
    assert [what for what, form in forms.items() if form in printed] == []
    path = {"the path of the key": str(key).encode()}
    for folder in ("store", "sandboxes", "named_caches"):
        assert found_below(pants.top / folder, path) == []


def test_nothing_runs_when_nothing_changed(
    pants: PantsRunner, key: Path, rootfs: Path, boot: BuiltEnclave
) -> None:
    before = listing_of(rootfs), boot.listing()
    shutil.rmtree(rootfs)
    shutil.rmtree(boot.folder)

    assert _package(pants, key, ROOTFS, BOOT).processes == ()

    assert (listing_of(rootfs), boot.listing()) == before


def test_template_stays_when_the_image_changes(
    pants: PantsRunner, key: Path, rootfs: Path, boot: BuiltEnclave
) -> None:
    template, layer = boot.listing(), listing_of(rootfs / "lower")
    (rootfs / "upper/of-a-boot").write_text("of the old image")
    script = pants.build_root / PROJECT / "greet.sh"
    text = script.read_text()
    script.write_text(text + "echo Bye.\n")

    run = _package(pants, key, ROOTFS, BOOT)

    assert [one for one in run.ran if "scan" not in one.lower()] == [SEAL]
    assert boot.listing() == template
    assert listing_of(rootfs / "lower") != layer
    assert listing_of(rootfs / "upper") == {}
    script.write_text(text)
    _package(pants, key, ROOTFS)
    assert listing_of(rootfs / "lower") == layer


def test_same_bytes_elsewhere(
    key: Path, rootfs: Path, boot: BuiltEnclave, tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("another user") / "s"
    before = os.umask(0o077)
    try:
        with _project(top, "--no-pantsd") as elsewhere:
            moved = shutil.copyfile(key, top / "key")
            moved.chmod(0o600)
            _package(elsewhere, moved, ROOTFS, BOOT)
    finally:
        os.umask(before)
    other = elsewhere.dist / "testprojects.boot/rootfs"
    assert listing_of(other) == listing_of(rootfs)
    assert built_enclave(elsewhere, BOOT).listing() == boot.listing()


@dataclass(frozen=True)
class Variant:
    """A root file system and a template with other fields, in a folder of their own."""

    pants: PantsRunner
    key: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.pants.build_root / self.name

    def write(self, more: str = "", **changes: str) -> None:
        """TARGETS with changes, and more targets, beside the init of the project."""
        given = {
            "image": "//testprojects/boot:image",
            "key": KEY_FILE,
            "rootfs": "",
            "boot": ":rootfs",
            "template": "template_image",
            "fields": INIT,
            **changes,
        }
        self.pants.write(f"{self.name}/BUILD", TARGETS.format(**given) + more)
        shutil.copyfile(self.pants.build_root / PROJECT / "init", self.folder / "init")

    def package(self, target: str) -> BuiltEnclave:
        address = f"{self.name}:{target}"
        _package(self.pants, self.key, address)
        return built_enclave(self.pants, address)

    def error(self, target: str) -> str:
        """The text of the one error that packaging ends with."""
        run = _package(self.pants, self.key, f"{self.name}:{target}", exit_code=1)
        stderr = run.result.stderr
        assert "Traceback" not in stderr
        assert "1 Exception encountered:" in stderr
        return stderr.partition("1 Exception encountered:")[2]


@pytest.fixture
def variant(pants: PantsRunner, key: Path, request: pytest.FixtureRequest) -> Variant:
    return Variant(pants, key, request.node.name)


def test_image_that_cannot_be_booted(variant: Variant) -> None:
    few = 'occlum_files(name="few", mkdirs=["dev", "etc", "host", "lib"])\n'
    image = 'occlum_image(name="few_image", boms=[":few"])\n'
    variant.write(few + image, image=":few_image", rootfs='entry_point="/bin/app"')
    error = variant.error("rootfs")
    assert f"{variant.name}:rootfs cannot be built, 3 errors:" in error
    assert "lacks what a boot needs, the directories: proc, root, sys, tmp" in error
    assert "the image has no loader of programs: neither /lib64/ld-linux-x86-64.so.2 nor" in error
    assert "entry_point: there is no /bin/app in the image" in error


def test_settings_that_are_wrong(variant: Variant) -> None:
    variant.write(key="env=['A']", rootfs='entry_point="app"')
    error = variant.error("boot")
    assert f"{variant.name}:rootfs cannot be built, 3 errors:" in error
    assert "entry_point: 'app' is not absolute" in error
    assert "one of key_file and key_program must be given" in error
    assert "env: 'A' must be written as NAME=value" in error


def test_boot_of_something_else(variant: Variant) -> None:
    variant.write(boot="//testprojects/boot:image")
    assert (
        f"The 'boot' field in target {variant.name}:boot must be an `occlum_rootfs`, "
        "but testprojects/boot:image is a `occlum_image`."
    ) in variant.error("boot")
    variant.write(image="//testprojects/boot:rootfs")
    assert (
        f"The 'image' field in target {variant.name}:rootfs must be an `occlum_image`, "
        "but testprojects/boot:rootfs is a `occlum_rootfs`."
    ) in variant.error("rootfs")


def test_template_without_hostfs(variant: Variant) -> None:
    mounts = """[{
        "type": "unionfs", "target": "/", "options": {"layers": [
            {"type": "sefs", "target": "/", "source": "a", "options": {"MAC": ""}},
            {"type": "sefs", "target": "/", "source": "b"},
    ]}}]"""
    fields = f'{INIT}, config={{"mount": {mounts}}},'
    variant.write(fields=fields)
    variant.package("boot")
    variant.write(fields=fields, rootfs='hostfs_source="/srv"')
    error = variant.error("boot")
    assert f"Configure and measure {variant.name}:boot failed:" in error
    assert '$.mount: no mount has the type "hostfs", but the boot has a hostfs_source' in error


def test_init_that_cannot_boot(variant: Variant) -> None:
    variant.write(fields="")
    assert (
        f"The 'boot' field in target {variant.name}:boot needs an `init` that reads /etc/boot.conf"
    ) in variant.error("boot")
    variant.write(key='key_program="/bin/release"')
    _build_init(variant.folder / "init", "-static")
    error = variant.error("boot")
    assert f"Make the initfs of {variant.name}:boot failed:" in error
    assert "/bin/init: the libOS starts only position-independent programs with an inter" in error
    assert "/bin/release: there is no such program in the initfs" in error


def test_no_compiler(pants: PantsRunner) -> None:
    path = "--shell-setup-executable-search-paths=['/nowhere']"
    told = pants.run("--no-pantsd", path, "package", BOOT).expect(1).stderr
    assert "Traceback" not in told and "1 Exception encountered:" in told
    assert (
        "Cannot find `" in told and f"can execute the `shell_command` at `{PROJECT}:init`" in told
    )


def test_same_layer_as_in_an_encrypted_enclave(variant: Variant, rootfs: Path) -> None:
    variant.write(template="image", fields=f"{INIT}, encrypt=True")
    enclave = variant.package("boot")
    assert listing_of(enclave.instance / "build/mount/__ROOT") == listing_of(rootfs / "lower")


def test_key_program_in_an_initfs(variant: Variant) -> None:
    targets = (
        'files(name="programs", sources=["init", "release"])\n'
        'occlum_files(name="initfs", target="/bin", files=["init", "release"])\n'
        'occlum_image(name="initfs_image", boms=[":initfs"])\n'
    )
    variant.write(targets, key='key_program="/bin/release"', fields='initfs=":initfs_image"')
    shutil.copyfile(variant.folder / "init", variant.folder / "release")
    initfs = variant.package("boot").instance / "initfs"
    assert "key_program=/bin/release\n" in (initfs / "etc/boot.conf").read_text()
    assert {path.name for path in (initfs / "bin").iterdir()} == {"init", "release"}


def test_bundle_of_a_template(variant: Variant) -> None:
    bundle = 'rune_bundle(name="{0}", enclave=":boot", args=["/bin/{0}"])\n'
    variant.write(bundle.format("greet") + bundle.format("none"))
    folder = variant.package("greet").folder
    assert json.loads((folder / "bundle/config.json").read_text())["process"]["args"] == [
        "/bin/greet"
    ]
    assert "there is no program /bin/none in the image" in variant.error("none")


def test_no_key(pants: PantsRunner, first: RecordedRun) -> None:
    run = run_recorded(pants, "package", ROOTFS, exit_code=1)
    assert f"{ROOTFS} is to be encrypted, but there is no image key" in run.result.stderr
