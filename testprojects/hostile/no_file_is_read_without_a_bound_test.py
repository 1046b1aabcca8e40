"""Whatever stands where a file is read: no verb waits for it, or reads it without a bound.

Each place where a file is read, an argument or a file beside it, is tried with all that may stand
there (`obstacles.py`), in a process of little memory and time. That ends with one error that names
the file, or without one where nobody needs the file; never with a traceback. The last test records
how many were tried.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from hostile.obstacles import ALL, FOLDER, LARGE, MISSING, SPECIAL, TEXTS, Ended, run
from occlum_build.packages.testing_archive import Archive, keyring
from occlum_build.packages.testing_debs import deb_of

TOOLCHAIN = Path("testprojects/toolchain/stand_in.tar.xz").resolve()
TEMPLATES = "opt/occlum/etc/template"
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
OCCLUM = "tc/opt/occlum"
MUSL = "tc/usr/local/occlum/x86_64-linux-musl/lib"
LIBOS = f"{OCCLUM}/build/lib/libocclum-libos.so.0.31.0"
SIGNED = "i/build/lib/libocclum-libos.signed.so"
MAC = "-".join(["00"] * 16)
COPY = "copy-bom -f ../bom.yaml --loader-config ../loader.config --root out"
COPY_SYSTEM = "copy-bom -f ../system.yaml --sysroot ../sys --root out"
GEN_CONF = f"gen-conf --image-mac {MAC} --initfs-mac {MAC} --enclave-xml x --sys-json s --config"
SIGNED_OF = "--enclave ../libos.so --config ../enclave.xml"
SIGN = f"sign {SIGNED_OF} --out out.so"
CATSIG = (
    f"catsig {SIGNED_OF} --unsigned ../data --signature ../sig --pubkey ../public.pem --out out.so"
)
NEW = "new ../j --toolchain ../tc"
BUILD = "build --toolchain ../tc --sign-key ../key.pem"
UNEXPECTED = f"{BUILD} --expected-mrenclave {'1' * 64}"
DETACHED = "build -f --toolchain ../tc --signature ../sig --pubkey ../public.pem"
LOCK = "packages lock ../c.yaml --lock y.lock --cache ../c"
CHECK = "packages check ../c.yaml --lock ../x.lock --cache ../c"
# Its mirror is beside the directory that a command runs in.
REQUEST = """\
archives:
- {name: a, mirrors: ["file:/proc/self/cwd/../mirror"], suites: [stable], components: [main],
   keyring: keys.asc}
packages: [lib]
debs: [app.deb]
"""
_tried: list[str] = []

_TEMPORARY = re.compile(r"^\.occlum-build-|\.(tmp|new)$")
# Who asks whether there is a file takes these as none.
NO_FILES = frozenset(SPECIAL) - {LARGE}
NO_FOLDER = frozenset(SPECIAL) - {FOLDER}
IN_THE_WAY = frozenset({"/dev/zero", "fifo", "socket"})
# Links that lead to nothing in the sysroot are as good as missing.
_NO_CONFIGURATION = NO_FILES - {MISSING, "/dev/zero", "link to itself"}
BOM_CODES = (253, 255)


class Place(NamedTuple):
    """A path in the world, and the command line that reads it, in its directory `i` or `folder`.

    `kinds`: what is tried. `taken`: those of them that are no reason to fail.
    """

    path: str
    command: str
    kinds: Collection[str] = tuple(ALL)
    taken: Collection[str] = ()
    codes: Collection[int] = (1,)
    folder: str = "i"


def each(
    paths: str,
    commands: Iterable[str],
    kinds: Collection[str] = SPECIAL,
    taken: Collection[str] = (),
    codes: Collection[int] = (1,),
    folder: str = "i",
) -> list[Place]:
    """The same for each of the paths and each of the command lines."""
    return [
        Place(path, one, kinds, taken, codes, folder) for path in paths.split() for one in commands
    ]


SEFS_READERS = [f"sefs {one}" for one in ("ls ../img", "verify ../img", "unzip ../img tree")]
BUILDS = (BUILD, f"{BUILD} -f", UNEXPECTED)
PACKAGES = ("package --debug", "occlum package --debug")
PLACES = [
    Place("bom.yaml", COPY, codes=BOM_CODES),
    Place("i/part.yaml", COPY, codes=BOM_CODES),
    Place("loader.config", COPY, codes=(253, 254)),
    *each(
        "sys/etc/ld.so.conf sys/etc/ld.so.conf.d/a.conf",
        [COPY_SYSTEM], ALL, taken=[*NO_FILES, *TEXTS], codes=(254,),
    ),
    Place(f"sys/{TEMPLATES}/occlum_elf_loader.config", COPY_SYSTEM, taken=NO_FILES,
          codes=(253, 254)),
    Place(f"sys/{TEMPLATES}/base.yaml", COPY_SYSTEM, taken=NO_FILES, codes=(253,)),
    Place("sys/conf", f"{COPY_SYSTEM} --dry-run", (LARGE, *TEXTS), (LARGE, *TEXTS)),
    Place("config.json", f"{GEN_CONF} ../config.json"),
    *each("libos.so enclave.xml key.pem", [f"{SIGN} --key ../key.pem"], ALL),
    Place("public.pem", f"{SIGN} --pubkey ../public.pem --signer cat"),
    *each("libos.so enclave.xml", ["gendata --out out " + SIGNED_OF]),
    *each("libos.so enclave.xml data sig public.pem", [CATSIG]),
    Place("signed.so", "sigstruct-view ../signed.so"),
    *each("signed.so", ["print mrenclave ../signed.so", "print mrsigner ../signed.so"]),
    *each(SIGNED, ["print mrenclave", "package"]),
    Place("f", "protect ../f", NO_FILES),
    *each("f", ["show ../f", "show-mac ../f"], ALL),
    Place("manifest.json", "sefs zip --manifest ../manifest.json image ../img2 mac"),
    Place("image.key", "sefs zip --key ../image.key image ../img2 mac"),
    Place("i/image", "sefs zip image ../img2 mac", SPECIAL, [FOLDER]),
    *each("img img/metadata img/05000000000000000000000000000000", SEFS_READERS, ALL),
    *each("image.key", [f"{one} --key ../image.key" for one in SEFS_READERS]),
    Place("app.deb", "packages unpack out --deb ../app.deb"),
    *each("c.yaml keys.asc", [LOCK], ALL),
    *each("app.deb mirror/dists/stable/InRelease", [LOCK]),
    *each("x.lock", [CHECK, "packages unpack out --lock ../x.lock ../c.yaml --cache ../c"], ALL),
    *each("zone", ["new ../j --toolchain ../tc --localtime ../zone"]),
    *each(f"{OCCLUM}/include/occlum_version.h", [NEW, BUILD], ALL),
    *each(f"{OCCLUM}/etc/template/Occlum.json {OCCLUM}/build/bin/init {MUSL}/libc.so", [NEW]),
    *each(f"{LIBOS} {OCCLUM}/build/bin/occlum-run", [BUILD]),
    *each(f"{OCCLUM}/build/bin/init", [BUILD], taken=NO_FILES),
    *each(f"{OCCLUM}/etc/template/Enclave.pem", ["build --toolchain ../tc"]),
    *each("key.pem", [BUILD]),
    Place("image.key", f"{BUILD} --image-key ../image.key"),
    *each("image.key", [f"{BUILD} --image-key ../image.key --buildin-image-key"]),
    *each("sig public.pem", [DETACHED]),
    # Of an instance, beside what is named.
    *each("i/Occlum.json", BUILDS, ALL),
    *each("i/Occlum.json", ["occlum build --toolchain ../tc"]),
    # What stands there is archived as it is.
    *each("i/Occlum.json", PACKAGES, NO_FILES, [FOLDER, "/dev/zero", "link to itself"]),
    *each("i/.__occlum_status", [BUILD, *PACKAGES, "occlum status"]),
    *each("i/.sgx_mode", [BUILD], taken=SPECIAL),
    *each("i/.sgx_mode", PACKAGES),
    *each("i/init_ra_conf.json", [BUILD], taken=[MISSING, "link to itself"]),
    # They only serve to explain: the error is that of MRENCLAVE, or none.
    *each("i/measurement.json i/manifest.json", [UNEXPECTED], ALL),
    *each("i/measurement.json i/manifest.json", PACKAGES, NO_FOLDER, NO_FOLDER),
    *each("i/manifest.json", [BUILD], NO_FOLDER, NO_FOLDER),
    # What is no file is not replaced by one.
    *each("i/measurement.json", [BUILD], NO_FOLDER, NO_FOLDER - IN_THE_WAY),
    *each("i/measurement.json i/manifest.json", [f"{BUILD} -f"], NO_FOLDER, NO_FOLDER - IN_THE_WAY),
    *each("i/initfs/x", [BUILD], NO_FILES, [FOLDER, MISSING, "/dev/zero", "link to itself"]),
    *each("i/image/x i/run/mount/x", [BUILD, *PACKAGES], NO_FILES, NO_FILES),
    *each(SIGNED, [BUILD], taken=SPECIAL),
    # A secure file system that was built before, where there is no image.
    *each("p/build/mount/.ROOT_MAC p/build/mount/__ROOT p/build/mount/__ROOT/metadata",
          [f"{BUILD} -f"], folder="p"),
    *each("p/build/mount/__ROOT/x", [f"{BUILD} -f"], NO_FILES, [MISSING], folder="p"),
    # What cannot be read is none of the files that are looked for.
    *each("demo/run.sh demo/bom.yaml demo/Occlum.json demo/BUILD", ["init-pants ../demo"], ALL,
          tuple(ALL)),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world as it is right: a toolchain, a small system, keys, files and a built instance."""
    top = tmp_path_factory.mktemp("world")
    with tarfile.open(TOOLCHAIN) as archive:
        archive.extractall(top / "tc")
    _openssl(top, "genrsa -3 -out key.pem 3072")
    _openssl(top, "rsa -in key.pem -pubout -out public.pem")
    shutil.copy(top / LIBOS, top / "libos.so")
    (top / "image.key").write_text("-".join(["2a"] * 16) + "\n")
    for name in ("key.pem", "image.key"):
        (top / name).chmod(0o600)
    (top / "zone").write_text("UTC0")
    (top / "app.deb").write_bytes(deb_of())
    mirror = Archive(top / "mirror")
    mirror.suite("stable", [mirror.deb("lib")])
    (top / "keys.asc").write_bytes(keyring())
    (top / "c.yaml").write_text(REQUEST)
    (top / "enclave.xml").write_text("<EnclaveConfiguration></EnclaveConfiguration>")
    (top / "bom.yaml").write_text("includes: [i/part.yaml]")
    (top / "demo").mkdir()
    (top / "demo/bom.yaml").write_text("targets: [{target: /}]")
    script = "occlum new i\ncd i\ncp ../Occlum.json .\ncopy_bom -f ../bom.yaml --root image\n"
    (top / "demo/run.sh").write_text(script)
    (top / "demo/Occlum.json").write_text('{"resource_limits": {}}')
    (top / "loader.config").write_text("/lib/ld-musl-x86_64.so.1 /lib\n")
    _make_system(top / "sys", top / "system.yaml")
    for one in (
        "new i --toolchain tc",
        "gendata --enclave libos.so --config enclave.xml --out data",
    ):
        assert run(one.split(), top).code == 0
    locked = run(f"packages lock ../c.yaml --lock ../x.lock --cache {top}/c".split(), top / "i")
    assert locked.code == 0
    shutil.rmtree(top / "c")
    _openssl(top, "dgst -sha256 -sign key.pem -out sig data")
    (top / "i/image/x").write_text("x")
    (top / "i/part.yaml").write_text("{}")
    shutil.copy(top / "i/Occlum.json", top / "config.json")
    (top / "i/init_ra_conf.json").write_text("{}")
    assert run(shlex.split(BUILD), top / "i") == (0, "")
    (top / "f").write_text("content")
    assert run(["protect", "../f"], top / "i").code == 0
    (top / "f").unlink()
    (top / "f.protected").rename(top / "f")
    assert run(["sefs", "zip", "image", "../img", "mac"], top / "i").code == 0
    assert run([*SIGN.split(), "--key", "../key.pem"], top / "i").code == 0
    (top / "i/out.so").rename(top / "signed.so")
    shutil.copy(top / "i/manifest.json", top / "manifest.json")
    shutil.copytree(top / "i", top / "p", symlinks=True)
    shutil.rmtree(top / "p/image")
    return top


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


def _make_system(root: Path, bom: Path) -> None:
    for folder in ("bin", "lib64", "etc/ld.so.conf.d", TEMPLATES):
        (root / folder).mkdir(parents=True)
    maps = Path("/proc/self/maps").read_text().split()
    libc = next(one for one in maps if Path(one).name.startswith(("libc.so.6", "libc-2")))
    shutil.copy(os.path.realpath("/bin/true"), root / "bin/true")
    shutil.copy(os.path.realpath(LOADER), root / "lib64" / LOADER.name)
    shutil.copy(os.path.realpath(libc), root / "lib64/libc.so.6")
    (root / "etc/ld.so.conf").write_text("include ld.so.conf.d/*.conf\n")
    (root / "etc/ld.so.conf.d/a.conf").write_text("/lib64\n")
    (root / "conf").write_text("")
    (root / TEMPLATES / "base.yaml").write_text("{}")
    copies = {
        "/bin": ["/bin/true"],
        "/etc": [
            {"name": "/conf", "rename": name}
            for name in ("nsswitch.conf", "ld.so.cache", "x.runtimeconfig.json")
        ],
    }
    bom.write_text(
        json.dumps(
            {
                "includes": [f"/{TEMPLATES}/base.yaml"],
                "targets": [
                    {"target": target, "copy": [{"files": files}]}
                    for target, files in copies.items()
                ],
            }
        )
    )


@pytest.mark.parametrize("place", PLACES, ids=lambda one: f"{one.path} of {one.command[:40]}")
def test_what_stands_there(place: Place, made: Path, tmp_path: Path) -> None:
    wrong = {}
    for kind in place.kinds:
        world = tmp_path / "world"
        shutil.copytree(made, world, symlinks=True, copy_function=os.link)
        _put(kind, world / place.path)
        ended = run(shlex.split(place.command), world / place.folder)
        _tried.append(f"{place.path} {place.command} {kind}")
        reason = _wrong(place, kind, ended, world)
        if reason:
            wrong[kind] = reason, ended.code, ended.err[-1000:]
        shutil.rmtree(world)
    assert not wrong


def _put(kind: str, path: Path) -> None:
    """Instead of what stands there, which is another world's, too."""
    if path.is_dir():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    ALL[kind](path)


def _wrong(place: Place, kind: str, ended: Ended, world: Path) -> str:
    """What is not as it must be; "" if all is."""
    if "Traceback" in ended.err or "MemoryError" in ended.err:
        return "a traceback"
    left = [path.name for path in world.rglob(".*") if _TEMPORARY.search(path.name)]
    if left:
        return f"it leaves {left}"
    if kind in place.taken:
        is_passed = place.path.startswith("sys/etc/ld.so.conf") and kind in _NO_CONFIGURATION
        if is_passed and ended.err.count(f"{place.path[3:]} is a ") != 1:
            return "it is passed over without a word"
        return "" if (ended.code, ended.errors) == (0, []) else "it fails"
    if ended.code not in place.codes:
        return f"the exit code is not {place.codes}"
    # The mistakes of a text, and what `verify` finds, are told all at once.
    is_one = kind in SPECIAL and "verify" not in place.command
    if len(ended.errors) != 1 and (is_one or not ended.errors):
        return "not one error"
    # A manifest of another schema is compared with; that none is there need not be told.
    needs_no_name = place.command == UNEXPECTED and kind in (MISSING, "another schema")
    names = place.path.split("/")[-3:] if place.folder == "p" else [Path(place.path).name]
    if not needs_no_name and not any(name in ended.err for name in names):
        return "the file is not named"
    return ""


# Of what somebody else built: where there is no file, or another one, that is a row of the table.
VERIFIED = (
    *("i/Occlum.json", "i/measurement.json", "i/manifest.json", "i/.sgx_mode", SIGNED),
    *(f"i/build/{name}" for name in ("Enclave.xml", ".Occlum_sys.json.protected", "lib", "mount")),
    *(f"i/build/mount/{name}" for name in (".ROOT_MAC", "__ROOT", "__ROOT/metadata")),
    *("i/image/x", "i/initfs/bin/init", "i/build/lib/libocclum-pal.so.0.31.0"),
)
OF_IMAGES = ("l/oci-layout", "l/index.json", "l/blobs", "b/config.json", "b/rootfs", "a.tar")
_NEED_NOT_BE = ("i/measurement.json", "i/manifest.json")
IN_VERIFIED = [
    (path, kind)
    for path in (*VERIFIED, *OF_IMAGES)
    for kind in (ALL if path.endswith("n.json") else SPECIAL)
]


@pytest.fixture(scope="module")
def verified(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance, and a layout and a bundle that are none yet."""
    world = tmp_path_factory.mktemp("verified")
    shutil.copytree(made / "i", world / "i", symlinks=True)
    for name in ("l/blobs/sha256", "b/rootfs"):
        (world / name).mkdir(parents=True)
    (world / "l/oci-layout").write_text("{}")
    (world / "l/index.json").write_text('{"manifests": []}')
    (world / "b/config.json").write_text('{"process": {"args": [], "cwd": "/"}}')
    assert run(["verify", "../i"], world / "i") == (0, "")
    return world


@pytest.mark.parametrize(("path", "kind"), IN_VERIFIED)
def test_what_stands_in_what_is_verified(path: str, kind: str, verified: Path) -> None:
    place, away = verified / path, verified / "away"
    if os.path.lexists(place):
        place.rename(away)
    try:
        ALL[kind](place)
        ended = run(["verify", f"../{path.split('/')[0]}"], verified / "i")
    finally:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif os.path.lexists(place):
            place.unlink()
        if os.path.lexists(away):
            away.rename(place)
    passes = kind == MISSING and path in _NEED_NOT_BE
    assert "Traceback" not in ended.err
    assert ended.code in ((0,) if passes else (1, 2))
    assert len(ended.errors) == (ended.code == 2)


def test_how_many_were_verified(record_property: Callable[[str, object], None]) -> None:
    record_property("what may stand in what is verified, tried", len(IN_VERIFIED))
    assert len(IN_VERIFIED) > 140


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("what may stand where a file is read, tried", len(_tried))
    assert len(_tried) == len(set(_tried)) == sum(len(place.kinds) for place in PLACES)
