"""Archives that are made in parts have what those have that are made as one."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

from built_enclave import TOOLCHAIN, built_enclave
from occlum_build.occlum.package import package as package_instance
from occlum_build.oci.layer import GZIP_HEADER
from pants_runner import pants_runner

BUILD = f"""\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
occlum_enclave(name="enclave", image=":image", toolchain="//{TOOLCHAIN}")
"""


def members(archive: Path) -> dict[str, tuple[bytes, int, str, str]]:
    """Name -> type, mode, target of a link, SHA-256 of the content."""
    found = {}
    with tarfile.open(archive) as tar:
        for one in tar:
            stream = tar.extractfile(one) if one.isreg() else None
            sha256 = hashlib.sha256(stream.read()).hexdigest() if stream else ""
            found[one.name] = one.type, one.mode, one.linkname, sha256
        assert len(tar.getmembers()) == len(found)
    return found


def test_a_large_instance(tmp_path: Path) -> None:
    data = tmp_path / "host/data"
    data.mkdir(parents=True)
    for number in range(60):
        (data / f"{number:02}").write_bytes(os.urandom(1_000_000 + number))
    options = (f"--occlum-sysroot={tmp_path}/host",)
    with pants_runner(tmp_path / "pants", parts=(TOOLCHAIN,), options=options) as pants:
        pants.write("app/BUILD", BUILD)
        pants.write("app/bom.yaml", "targets: [{target: /, copy: [{dirs: [/data]}]}]")
        pants.run("package", "app:enclave").expect(0)
        enclave = built_enclave(pants, "app:enclave")
        package_instance(enclave.instance, tmp_path / "one.tar.gz", "occlum_instance")

        assert members(enclave.archive) == members(tmp_path / "one.tar.gz")
        assert enclave.archive.read_bytes().count(GZIP_HEADER) >= 3
