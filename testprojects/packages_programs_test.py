"""Java and nginx of Debian's packages, by the CLI alone: locked, unpacked, and run in a chroot."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from built_image import WAYS, BuiltImage, image_root
from debian_mirror import debian_mirror
from occlum_build.cli.main import main
from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN

WANTED = ("default-jre-headless", "nginx-light", "base-passwd")
JAVA = """\
targets:
- target: /usr/lib
  copy: [{dirs: [/usr/lib/jvm]}]
- target: /etc
  copy: [{dirs: [@SETTINGS@]}]
- target: /etc/ssl/certs
  copy: [{dirs: [/etc/ssl/certs/java]}]
- target: /
  mkdirs: [tmp]
"""
NGINX = """\
targets:
- target: /usr/sbin
  copy: [{files: [/usr/sbin/nginx]}]
- target: /etc
  copy: [{dirs: [/etc/nginx], files: [/etc/passwd, /etc/group]}]
- target: /usr/share
  copy: [{dirs: [/usr/share/nginx]}]
- target: /
  mkdirs: [run, var/lib/nginx, var/log/nginx]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lock file of both is unpacked to."""
    top = tmp_path_factory.mktemp("packages")
    mirror = debian_mirror(top / "mirror", tmp_path_factory.mktemp("downloads"), WANTED)
    shutil.copy(KEYRING_OF_DEBIAN, top / "debian.gpg")
    archives = [
        {
            "name": name,
            "mirrors": [f"file:{mirror.root / name}"],
            "suites": suites,
            "components": ["main"],
            "keyring": "debian.gpg",
            "allow_expired": True,
        }
        for name, suites in mirror.suites.items()
    ]
    config, lock = top / "debian.yaml", top / "debian.lock"
    config.write_text(json.dumps({"archives": archives, "packages": WANTED}))
    cache = ["--cache", str(top / "cache")]
    assert main(["packages", "lock", str(config), "--lock", str(lock), *cache]) == 0
    unpack = ["packages", "unpack", str(top / "root"), "--lock", str(lock), str(config)]
    assert main([*unpack, *cache]) == 0
    return top / "root"


def image_of(bom: str, root: Path, folder: Path) -> BuiltImage:
    (folder / "bom.yaml").write_text(bom)
    arguments = ["-f", str(folder / "bom.yaml"), "--root", str(folder / "image")]
    assert main(["copy-bom", *arguments, "--sysroot", str(root)]) == 0
    return BuiltImage(folder)


@pytest.mark.parametrize("way", WAYS)
def test_java_trusts_what_the_certificates_of_the_root_are(
    root: Path, way: str, tmp_path: Path
) -> None:
    (settings,) = (root / "etc").glob("java-*-openjdk")
    image = image_of(JAVA.replace("@SETTINGS@", f"/etc/{settings.name}"), root, tmp_path)
    home = f"/usr/lib/jvm/{settings.name}-amd64"
    # Without /proc, which an image has not, its own loader does not know where it is.
    loader = ("/lib64/ld-linux-x86-64.so.2", "--library-path", f"{home}/lib")
    with image_root(image, way) as inside:
        told = inside.run(*loader, f"{home}/bin/java", "-Xmx64m", "-version")
        assert "OpenJDK Runtime Environment" in told
        keytool = (f"{home}/bin/keytool", "-J-Xmx64m", "-list", "-cacerts")
        listed = inside.run(*loader, *keytool, "-storepass", "changeit")
    certificates = (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    count = certificates.count("BEGIN CERTIFICATE")
    assert count > 100 and len(re.findall(", trustedCertEntry", listed)) == count


@pytest.mark.parametrize("way", WAYS)
def test_nginx_takes_its_configuration(root: Path, way: str, tmp_path: Path) -> None:
    with image_root(image_of(NGINX, root, tmp_path), way) as inside:
        told = inside.run("/usr/sbin/nginx", "-t")
    assert "configuration file /etc/nginx/nginx.conf test is successful" in told
