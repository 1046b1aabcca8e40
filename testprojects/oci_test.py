"""Bundles and OCI images, built by ./pants, in the hands of runc, skopeo and umoci."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from built_image import SYSTEM_PATH
from pants_runner import PantsRunner, pants_runner

PARTS = ("testprojects/redis", "testprojects/toolchain", "testprojects/monorepo")
# The copy of the project has no lock files; the tool of monorepo has no requirements.
OPTIONS = ("--no-python-enable-resolves",)
REDIS = "testprojects.redis"
REDIS_TARGETS = [f"testprojects/redis:{name}" for name in ("bundle", "oci", "rune", "rune_oci")]
MONOREPO = ("greeter", "clock")
MONOREPO_TARGETS = [f"testprojects/monorepo/{name}:oci" for name in MONOREPO]

BOM = """\
targets:
  - target: /bin
    copy: [{files: [/bin/bash, /bin/ls]}]
  - target: /app
    copy: [{files: [../app.sh]}]
"""
BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
files(name="files", sources=["*.sh"])
occlum_image(name="image", boms=[":bom"])
oci_image(name="oci", image=":image", entry_point=["/bin/bash", "/app/app.sh"], max_layers=2)
rune_bundle(name="bundle", image=":image", args=["/bin/bash", "/app/app.sh"])
"""


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    if not Path("/usr/bin/redis-server").exists():
        pytest.skip("there is no redis-server on this machine")
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=PARTS, options=OPTIONS) as runner:
        runner.write("one/bom.yaml", BOM)
        runner.write("one/app.sh", "echo one; ls /app\n")
        runner.write("one/BUILD", BUILD)
        runner.run("package", *REDIS_TARGETS, *MONOREPO_TARGETS, "one::").expect(0)
        yield runner


@pytest.fixture(scope="module")
def layout(pants: PantsRunner) -> Path:
    return pants.dist / REDIS / "oci/layout"


def test_runc_runs_a_script(pants: PantsRunner, tmp_path: Path) -> None:
    with _container(pants.dist / "one/bundle/bundle", tmp_path) as (container, _):
        output, _ = container.communicate(timeout=60)
    assert output == "one\napp.sh\n"


def test_runc_runs_redis(pants: PantsRunner, tmp_path: Path) -> None:
    with _container(pants.dist / REDIS / "bundle/bundle", tmp_path) as (container, identity):
        _wait_for(tmp_path / "bundle/rootfs/tmp/redis", container)
        ping = ("/bin/redis-cli", "-s", "/tmp/redis", "ping")
        assert _run(*_runc(tmp_path), "exec", identity, *ping) == "PONG\n"


def test_config_of_an_enclave(pants: PantsRunner) -> None:
    bundle = pants.dist / REDIS / "rune/bundle"
    config = json.loads((bundle / "config.json").read_bytes())
    assert config["annotations"] == {
        "enclave.runtime.args": "occlum_instance",
        "enclave.runtime.loglevel": "info",
        "enclave.runtime.path": "/opt/occlum/build/lib/libocclum-pal.so",
        "enclave.type": "intelSgx",
    }
    instance = Path(f"{bundle}/rootfs{config['process']['cwd']}/occlum_instance")
    assert (instance / "build/lib/libocclum-libos.signed.so").is_file()
    assert (instance / ".__occlum_status").read_text() == "built\n"
    assert not (instance / "build/Enclave.xml").exists()


def test_skopeo_reads_and_copies(pants: PantsRunner, layout: Path, tmp_path: Path) -> None:
    skopeo = _tool("skopeo")
    inspected = json.loads(_run(skopeo, "inspect", f"oci:{layout}:redis"))
    assert f"{inspected['Digest']}\n" == (layout.parent / "oci.digest").read_text()
    assert inspected["Labels"].keys() == {"io.occlum.image-digest"}

    archive = f"oci-archive:{layout.parent}/image.oci.tar:redis"
    _run(skopeo, "--insecure-policy", "copy", archive, f"oci:{tmp_path}/copy:redis")
    assert _blobs(tmp_path / "copy") == _blobs(layout)
    _run(skopeo, "--insecure-policy", "copy", archive, f"docker-archive:{tmp_path}/docker.tar")

    rune = pants.dist / REDIS / "rune_oci/layout"
    config = json.loads(_run(skopeo, "inspect", "--config", f"oci:{rune}:latest"))["config"]
    assert "ENCLAVE_TYPE=intelSgx" in config["Env"]
    assert config["WorkingDir"] == "/run/rune"
    assert config["Labels"].keys() == {"io.occlum.image-digest", "io.occlum.mrenclave"}


def test_umoci_unpacks_what_the_bundle_has(
    pants: PantsRunner, layout: Path, tmp_path: Path
) -> None:
    _unpack(layout, tmp_path / "out")
    rootfs = pants.dist / REDIS / "bundle/bundle/rootfs"
    made = _listing(rootfs)
    for mount_point in ("dev", "proc", "sys"):
        assert made.pop(mount_point) == (0o40755, b"")
    assert _listing(tmp_path / "out/rootfs") == made


@pytest.mark.parametrize("tool", ["skopeo", "umoci"])
def test_a_corrupted_blob_is_refused(layout: Path, tmp_path: Path, tool: str) -> None:
    _tool(tool)
    (digest, *_) = _layers(layout)
    copy = tmp_path / "copy"
    shutil.copytree(layout, copy)
    blob = copy / "blobs/sha256" / digest
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    with pytest.raises(subprocess.CalledProcessError):
        if tool == "umoci":
            _unpack(copy, tmp_path / "out")
        else:
            _run("skopeo", "--insecure-policy", "copy", f"oci:{copy}:redis", f"dir:{tmp_path}/out")


def test_images_share_layers(pants: PantsRunner) -> None:
    greeter, clock = (
        _layers(pants.dist / f"testprojects.monorepo.{name}" / "oci/layout") for name in MONOREPO
    )
    # The C library, libraries of the shell, the shell and its tools, its link, and the packaged
    # tool; the script is each one's own.
    assert len(greeter) == len(clock) == 6
    assert len(set(greeter) & set(clock)) == 5


def test_a_budget_of_layers(pants: PantsRunner, tmp_path: Path) -> None:
    layout = pants.dist / "one/oci/layout"
    assert len(_layers(layout)) == 2
    _unpack(layout, tmp_path / "out", "latest")
    assert (tmp_path / "out/rootfs/app/app.sh").read_text() == "echo one; ls /app\n"
    assert (tmp_path / "out/rootfs/bin/bash").exists()


def test_the_same_bytes_elsewhere(pants: PantsRunner, tmp_path: Path) -> None:
    shutil.copytree(pants.build_root / "one", pants.build_root / "elsewhere/other")
    options = f"--local-store-dir={tmp_path / 'store'}"
    pants.run(
        options, "--no-pantsd", "package", "elsewhere/other:bundle", "elsewhere/other:oci"
    ).expect(0)
    for name in ("bundle", "oci"):
        made = _listing(pants.dist / "elsewhere.other" / name)
        assert made == _listing(pants.dist / "one" / name)


def test_what_rune_would_ignore_is_an_error(pants: PantsRunner) -> None:
    fields = 'enclave="testprojects/redis:enclave", args=["/bin/none"], cwd="/", '
    pants.write(
        "wrong/BUILD", f'rune_bundle(name="b", {fields}env=["ENCLAVE_RUNTIME_LOGLEVEL=warn"])\n'
    )
    result = pants.run("package", "wrong:b").expect(1)
    assert "wrong:b cannot be built, 3 errors:" in result.stderr
    assert "no instance with a signed enclave in /occlum_instance" in result.stderr
    assert "there is no program /bin/none in the image" in result.stderr
    assert "the log level warn is unknown" in result.stderr


def _layers(layout: Path) -> list[str]:
    """The digests of an image's layers, as hex."""

    def blob(digest: str) -> dict[str, Any]:
        value = json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())
        assert isinstance(value, dict)
        return value

    index = json.loads((layout / "index.json").read_bytes())
    manifest = blob(index["manifests"][0]["digest"])
    return [layer["digest"].split(":")[1] for layer in manifest["layers"]]


def _blobs(layout: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((layout / "blobs/sha256").iterdir())}


def _listing(root: Path) -> dict[str, tuple[int, bytes]]:
    """Path below the directory -> type with mode, and content or link target."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = b""
        if path.is_symlink():
            content = os.readlink(path).encode()
        elif path.is_file():
            content = path.read_bytes()
        found[path.relative_to(root).as_posix()] = (path.lstat().st_mode, content)
    return found


def _unpack(layout: Path, out: Path, name: str = "redis") -> None:
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    _run(_tool("umoci"), "unpack", *rootless, "--image", f"{layout}:{name}", str(out))


@contextlib.contextmanager
def _container(bundle: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """runc running a copy of the bundle, and the container's name."""
    if os.geteuid() != 0:
        pytest.skip("runc needs root for a bundle without a user namespace")
    runc = _runc(tmp_path)
    shutil.copytree(bundle, tmp_path / "bundle", symlinks=True)
    identity = f"occlum-{uuid.uuid4().hex}"
    argv = [*runc, "run", "--bundle", str(tmp_path / "bundle"), identity]
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process, identity
        finally:
            subprocess.run([*runc, "delete", "--force", identity], capture_output=True)


def _runc(tmp_path: Path) -> list[str]:
    return [_tool("runc"), "--root", str(tmp_path / "state")]


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def _tool(name: str) -> str:
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 30
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if not path.exists():
        process.kill()
        raise AssertionError(f"{path} did not appear: {process.communicate()[0]}")
