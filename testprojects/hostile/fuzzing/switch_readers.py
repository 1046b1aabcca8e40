"""Reader of what init-pants reads: a script for Occlum, its BOM and a configuration beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from hostile.fuzzing.workplace import SEPARATOR, file_of, parts_of
from occlum_build.switch.plan import plan
from occlum_build.switch.tree import look

_SCRIPT = b"""\
#!/bin/bash
set -e
here="$( cd "$( dirname "${BASH_SOURCE[0]}" )" >/dev/null 2>&1 && pwd )"
threads=48
build() {
    rm -rf $1 && occlum new $1 --init-ra aecs
    pushd $1
    new_json="$(jq --argjson T ${threads} '.resource_limits.max_num_of_threads = $T |
        .env.default += ["A=b"] | del(.feature.pkru) | .mount[1].target = "/x"' Occlum.json)" && \\
    echo "${new_json}" > Occlum.json
    sed -i "s/300MB/1GB/g" Occlum.json
    rm -rf image && copy_bom -f "$here/bom.yaml" --root image --include-dir /opt/occlum/etc/template
    mkdir -p image/etc
    if [ -f x ]; then cp /etc/hosts image/etc; fi
    SGX_MODE=SIM occlum build --image-key ../key --buildin-image-key
    popd
}
for name in one two; do build $name; done
cp Occlum.json.in Occlum.json
"""
_BOM = b"""\
includes: [base.yaml]
targets:
  - target: $DIR
    copy: [{from: .., dirs: [d, e*], files: [script.sh, ${F:-x}, {name: gone, rename: a}]}]
"""
_CONFIG = b'{"resource_limits": {"user_space_size": "1GB"}, "mount": []}'


def demo_script(data: bytes) -> None:
    """What is planned of it is text that Python reads, as Pants reads BUILD files."""
    script, bom, config = parts_of(data, 3)
    with file_of(script, "run.sh") as path:
        (path.parent / "bom.yaml").write_bytes(bom)
        (path.parent / "Occlum.json.in").write_bytes(config)
        (path.parent / "c.json").write_bytes(config)
        for file in plan(look(path.parent, path.parent)).files:
            ast.parse(file.text)


def seeds() -> Iterator[tuple[str, bytes]]:
    yield "demo_script", SEPARATOR.join((_SCRIPT, _BOM, _CONFIG))
    yield (
        "demo_script",
        SEPARATOR.join((_SCRIPT.replace(b"Occlum.json.in", b"../c.json"), _BOM, _CONFIG)),
    )
