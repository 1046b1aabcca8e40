"""Bundles and OCI images, built by ./pants, in the hands of runc and the tools of images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from built_enclave import built_enclave, occlum_build
from container_tools import container, layers, listing, names_of_blobs, unpack
from image_registry import PASSWORD, ImageRegistry, image_registry
from pants_runner import PantsRunner, pants_runner
from system_tools import run_tool, wait_for_file

PARTS = ("testprojects/redis", "testprojects/toolchain", "testprojects/monorepo")
# The copy of the project has no lock files; the tool of monorepo has no requirements.
OPTIONS = ("--no-python-enable-resolves",)
REDIS = "testprojects.redis"
REDIS_OUTPUTS = ("bundle", "oci", "rune", "rune_oci")
ENCLAVE = "testprojects/redis:enclave"
REDIS_TARGETS = [f"testprojects/redis:{name}" for name in REDIS_OUTPUTS]
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
oci_image(
    name="oci",
    image=":image",
    entry_point=["/bin/bash", "/app/app.sh"],
    max_layers=2,
    repositories=[],
)
oci_image(name="zstd", bundle=":bundle", compression="zstd", repositories=["REGISTRY/one"])
rune_bundle(name="bundle", image=":image", args=["/bin/bash", "/app/app.sh"])
occlum_image(name="described", boms=[":bom"], sbom=["cyclonedx", "slsa", "spdx"])
oci_image(
    name="attached",
    image=":described",
    entry_point=["/bin/bash"],
    repositories=["REGISTRY/attached:1.0"],
)
"""
RUNTIMES = """\
files(name="files", sources=["*.bin", "*.ss", "*.so", "*.aot"])
occlum_files(name="wamr_files", target="/run/rune", files=["enclave.signed.so", "app.aot"])
occlum_files(name="skeleton_files", target="/run/rune", files=["encl.bin", "encl.ss"])
occlum_image(name="wamr_image", boms=[":wamr_files"])
occlum_image(name="skeleton_image", boms=[":skeleton_files"])
rune_bundle(name="wamr", runtime="wamr", image=":wamr_image", args=["/run/rune/app.aot"])
rune_bundle(
    name="skeleton",
    runtime="skeleton",
    image=":skeleton_image",
    runtime_path="/usr/lib/liberpal-skeleton-v3.so",
    runtime_args=["debug", "no-epm"],
    args=["/bin/app"],
)
rune_bundle(
    name="nitro",
    runtime="nitro",
    image=":skeleton_image",
    runtime_args=["image=/root/hello.eif", "memory=256", "vcpus=2"],
    args=["/bin/app"],
)
"""


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    if not Path("/usr/bin/redis-server").exists():
        pytest.skip("there is no redis-server on this machine")
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=PARTS, backends=None, options=OPTIONS) as runner:
        _write_projects(runner)
        targets = ("one::", "runtimes::", ENCLAVE, *REDIS_TARGETS, *MONOREPO_TARGETS)
        runner.run("package", *targets).expect(0)
        yield runner


@pytest.fixture(scope="module")
def layout(pants: PantsRunner) -> Path:
    return pants.dist / REDIS / "oci/layout"


def test_runc_runs_a_script(pants: PantsRunner, tmp_path: Path) -> None:
    with container(pants.dist / "one/bundle/bundle", tmp_path) as running:
        output, _ = running.process.communicate(timeout=60)
    assert output == "one\napp.sh\n"


def test_runc_runs_redis(pants: PantsRunner, tmp_path: Path) -> None:
    with container(pants.dist / REDIS / "bundle/bundle", tmp_path) as running:
        wait_for_file(running.bundle / "rootfs/tmp/redis", running.process)
        assert running.run("/bin/redis-cli", "-s", "/tmp/redis", "ping") == "PONG\n"


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


@pytest.mark.parametrize(
    ("runtime", "settings", "files"),
    [
        ("wamr", "intelSgx /usr/lib/libwamr-pal.so debug", "app.aot enclave.signed.so"),
        (
            "skeleton",
            "intelSgx /usr/lib/liberpal-skeleton-v3.so debug,no-epm",
            "encl.bin encl.ss",
        ),
        (
            "nitro",
            "AwsNitroEnclaves /usr/lib64/libpal_ne.so image=/root/hello.eif,memory=256,vcpus=2",
            "encl.bin encl.ss",
        ),
    ],
)
def test_other_runtimes(pants: PantsRunner, runtime: str, settings: str, files: str) -> None:
    bundle = pants.dist / "runtimes" / runtime / "bundle"
    annotations = json.loads((bundle / "config.json").read_bytes())["annotations"]
    names = ("enclave.type", "enclave.runtime.path", "enclave.runtime.args")
    assert " ".join(annotations[name] for name in names) == settings
    assert " ".join(sorted(os.listdir(bundle / "rootfs/run/rune"))) == files


def test_skopeo_reads_and_copies(pants: PantsRunner, layout: Path, tmp_path: Path) -> None:
    inspected = json.loads(run_tool("skopeo", "inspect", f"oci:{layout}:redis"))
    assert inspected["Digest"] == _digest(layout)
    assert inspected["Labels"].keys() == {"io.occlum.image-digest"}

    archive = f"oci-archive:{layout.parent}/image.oci.tar:redis"
    _copy(archive, f"oci:{tmp_path}/copy:redis")
    assert names_of_blobs(tmp_path / "copy") == names_of_blobs(layout)
    _copy(archive, f"docker-archive:{tmp_path}/docker.tar")

    rune = pants.dist / REDIS / "rune_oci/layout"
    config = json.loads(run_tool("skopeo", "inspect", "--config", f"oci:{rune}:latest"))["config"]
    assert "ENCLAVE_TYPE=intelSgx" in config["Env"]
    assert config["WorkingDir"] == "/run/rune"
    assert config["Labels"].keys() == {"io.occlum.image-digest", "io.occlum.mrenclave"}


def test_skopeo_unpacks_zstd(pants: PantsRunner, tmp_path: Path) -> None:
    layout = pants.dist / "one/zstd/layout"
    starts = {(layout / "blobs/sha256" / layer).read_bytes()[:4] for layer in layers(layout)}
    assert starts == {b"\x28\xb5\x2f\xfd"}
    # skopeo has another implementation of zstd.
    _copy(f"oci:{layout}:latest", f"dir:{tmp_path}/out", "--dest-decompress")
    unpacked = json.loads((tmp_path / "out/manifest.json").read_bytes())["layers"]
    config = json.loads(run_tool("skopeo", "inspect", "--config", f"oci:{layout}:latest"))
    assert [layer["digest"] for layer in unpacked] == config["rootfs"]["diff_ids"]


def test_umoci_unpacks_what_the_bundle_has(
    pants: PantsRunner, layout: Path, tmp_path: Path
) -> None:
    unpack(layout, "redis", tmp_path / "out")
    rootfs = pants.dist / REDIS / "bundle/bundle/rootfs"
    made = listing(rootfs)
    assert made.pop("sys") == (0o40755, "")  # the other mount points are in the image too
    assert listing(tmp_path / "out/rootfs") == made


@pytest.mark.parametrize("what", ["enclave", "enclave/occlum_instance.tar.gz", "rune", "rune_oci"])
def test_what_pants_built_is_verified(pants: PantsRunner, what: str) -> None:
    enclave = built_enclave(pants, ENCLAVE)
    options = ("--json", "--expect", enclave.mrenclave, "--measurement")
    path, record = pants.dist / REDIS / what, enclave.folder / "measurement.json"
    found = json.loads(occlum_build(pants, "verify", path, *options, record))
    assert (found["result"], found["mrenclave"]) == ("agrees", enclave.mrenclave)
    assert found["counts"]["agrees"] > 50
    agreed = {(row["about"], row["what"]) for row in found["rows"] if row["status"] == "agrees"}
    assert {("manifest.json", "entries"), ("build/mount/__ROOT", "content")} <= agreed
    if what == "rune":
        assert ("config.json", "program") in agreed


READERS: dict[str, Callable[[Path, Path], object]] = {
    "skopeo": lambda layout, out: _copy(f"oci:{layout}:redis", f"dir:{out}"),
    "umoci": lambda layout, out: unpack(layout, "redis", out),
    "oci-image-tool": lambda layout, _: run_tool(
        "oci-image-tool", "validate", "--type", "image", "--ref", "name=redis", str(layout)
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_corrupted_blob_is_refused(layout: Path, tmp_path: Path, reader: str) -> None:
    READERS[reader](layout, tmp_path / "whole")
    copy = tmp_path / "copy"
    shutil.copytree(layout, copy)
    names = names_of_blobs(layout)
    if reader == "skopeo":  # It does not compare the manifest with the digest in the index.
        names.remove(_digest(layout).split(":")[1])
    for name in names:
        blob = copy / "blobs/sha256" / name
        content = blob.read_bytes()
        middle = len(content) // 2
        blob.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(subprocess.CalledProcessError):
            READERS[reader](copy, tmp_path / f"damaged-{name}")
        blob.write_bytes(content)


def test_images_share_layers(pants: PantsRunner) -> None:
    greeter, clock = (
        layers(pants.dist / f"testprojects.monorepo.{name}" / "oci/layout") for name in MONOREPO
    )
    # The C library, libraries of the shell, the shell and its tools, its link, and the packaged
    # tool; the script is each one's own.
    assert len(greeter) == len(clock) == 6
    assert len(set(greeter) & set(clock)) == 5


def test_a_budget_of_layers(pants: PantsRunner, tmp_path: Path) -> None:
    layout = pants.dist / "one/oci/layout"
    assert len(layers(layout)) == 2
    unpack(layout, "latest", tmp_path / "out")
    assert (tmp_path / "out/rootfs/app/app.sh").read_text() == "echo one; ls /app\n"
    assert (tmp_path / "out/rootfs/bin/bash").exists()


def test_the_same_bytes_elsewhere(pants: PantsRunner, tmp_path: Path) -> None:
    options = (*OPTIONS, "--no-pantsd")
    with pants_runner(tmp_path / "other", parts=PARTS, backends=None, options=options) as other:
        _write_projects(other, "elsewhere/one")
        other.run("package", "elsewhere/one::", *REDIS_TARGETS, *MONOREPO_TARGETS).expect(0)
    same = {f"elsewhere.one/{name}": f"one/{name}" for name in ("bundle", "oci", "zstd")}
    same.update((name, name) for name in (f"{REDIS}/{one}" for one in REDIS_OUTPUTS))
    same.update((name, name) for name in (f"testprojects.monorepo.{one}/oci" for one in MONOREPO))
    for made, wanted in same.items():
        assert listing(other.dist / made) == listing(pants.dist / wanted)


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


@pytest.mark.parametrize(
    ("name", "fields", "messages"),
    [
        (
            "o",
            'image="one:image", ref_name="-x", labels={"io.occlum.image-digest": "x"}',
            [
                "wrong:o cannot be built, 2 errors:",
                "'-x' is no name of an image",
                "the label io.occlum.image-digest is made from what is in the image",
            ],
        ),
        ("n", 'bundle="one:image"', ["one:image is a `occlum_image`, not a `rune_bundle`."]),
    ],
)
def test_a_wrong_image(pants: PantsRunner, name: str, fields: str, messages: list[str]) -> None:
    pants.write("wrong/BUILD", f'oci_image(name="{name}", {fields})\n')
    result = pants.run("package", f"wrong:{name}").expect(1)
    for message in messages:
        assert message in result.stderr


@pytest.fixture(scope="module")
def registry(
    pants: PantsRunner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageRegistry]:
    with image_registry(tmp_path_factory.mktemp("registry")) as running:
        for file in ("one/BUILD", "testprojects/redis/BUILD"):
            text = (pants.build_root / file).read_text()
            named = text.replace('"redis")', '"redis", repositories=["REGISTRY/team/redis:1.0"])')
            assert "REGISTRY/" in named
            pants.write(file, named.replace("REGISTRY", running.name))
        yield running


def test_publish(pants: PantsRunner, registry: ImageRegistry, layout: Path, tmp_path: Path) -> None:
    targets = ("testprojects/redis:oci", "one:zstd", "one:oci", "one:attached")
    env = {"REGISTRY_AUTH_FILE": str(registry.auth_file)}
    result = pants.run("publish", f"--output={tmp_path}/made.json", *targets, env=env).expect(0)
    assert "one:oci skipped as its field `repositories` is an empty list." in result.stderr
    assert PASSWORD not in result.stdout + result.stderr

    published = {"team/redis:1.0": layout, "one:latest": pants.dist / "one/zstd/layout"}
    for number, (name, folder) in enumerate(published.items()):
        full_name = f"{registry.name}/{name}"
        assert f"{full_name}@{_digest(folder)} published." in result.stderr
        copy = tmp_path / str(number)
        access = ("--src-tls-verify=false", f"--authfile={registry.auth_file}")
        _copy(f"docker://{full_name}", f"oci:{copy}:copy", *access)
        assert names_of_blobs(copy) == names_of_blobs(folder)
    made = {one.get("repository"): one for one in json.loads((tmp_path / "made.json").read_bytes())}
    assert made[f"{registry.name}/team/redis:1.0"]["digest"] == _digest(layout)
    attached = made[f"{registry.name}/attached:1.0"]
    _check_attached(pants.dist / "one/attached", registry, attached, result.stderr, tmp_path)


def _check_attached(
    folder: Path, registry: ImageRegistry, published: Any, told: str, tmp_path: Path
) -> None:
    """docker-registry 2.8 has no API for referrers: the tag lists them."""
    digest = _digest(folder / "layout")
    repository = f"{registry.name}/attached"
    listed = json.loads(_inspected(registry, f"{repository}:sha256-{digest[7:]}"))["manifests"]
    assert [one["digest"] for one in published["referrers"]] == [one["digest"] for one in listed]
    bills = {}
    for one in published["referrers"]:
        name = f"{repository}@{one['digest']}"
        assert f"{name} ({one['artifactType']}) published." in told
        manifest = json.loads(_inspected(registry, name))
        assert manifest["subject"]["digest"] == digest == published["digest"]
        assert manifest["artifactType"] == one["artifactType"]
        copy = tmp_path / one["digest"]
        access = ("--src-tls-verify=false", f"--authfile={registry.auth_file}")
        _copy(f"docker://{name}", f"dir:{copy}", *access)
        bills[one["artifactType"]] = (copy / manifest["layers"][0]["digest"][7:]).read_bytes()
    image = folder.parent / "described"
    assert bills == {
        "application/vnd.cyclonedx+json": (image / "image.cdx.json").read_bytes(),
        "application/vnd.in-toto+json": (image / "image.slsa.json").read_bytes(),
        "application/spdx+json": (image / "image.spdx.json").read_bytes(),
    }


def _inspected(registry: ImageRegistry, name: str) -> str:
    access = ("--tls-verify=false", f"--authfile={registry.auth_file}")
    return run_tool("skopeo", "inspect", "--raw", *access, f"docker://{name}")


def test_publish_without_credentials(pants: PantsRunner, registry: ImageRegistry) -> None:
    result = pants.run("publish", "one:zstd").expect(1)
    assert f"✕ {registry.name}/one:latest@sha256:" in result.stderr
    assert "authentication required" in result.stdout + result.stderr


def test_publish_without_repositories(pants: PantsRunner) -> None:
    result = pants.run("publish", "testprojects/redis:rune_oci").expect(1)
    assert "testprojects/redis:rune_oci cannot be published" in result.stderr
    assert "its field 'repositories' is not set" in result.stderr


def test_publish_without_skopeo(
    pants: PantsRunner, registry: ImageRegistry, tmp_path: Path
) -> None:
    for folder in (Path("/bin"), Path("/usr/bin")):
        for program in folder.iterdir():
            if program.name != "skopeo" and not (tmp_path / program.name).is_symlink():
                (tmp_path / program.name).symlink_to(program)
    result = pants.run("publish", "one:zstd", env={"PATH": str(tmp_path)}).expect(1)
    assert "one:zstd cannot be published, 1 error:" in result.stderr
    assert "pushes images with skopeo, which is in no directory of PATH" in result.stderr


def _write_projects(runner: PantsRunner, one: str = "one") -> None:
    runner.write(f"{one}/bom.yaml", BOM)
    runner.write(f"{one}/app.sh", "echo one; ls /app\n")
    runner.write(f"{one}/BUILD", BUILD)
    for name in ("enclave.signed.so", "app.aot", "encl.bin", "encl.ss"):
        runner.write(f"runtimes/{name}", f"stands in for {name}\n")
    runner.write("runtimes/BUILD", RUNTIMES)


def _digest(layout: Path) -> str:
    return (layout.parent / "oci.digest").read_text().strip()


def _copy(source: str, destination: str, *options: str) -> None:
    run_tool("skopeo", "--insecure-policy", "copy", *options, source, destination)
