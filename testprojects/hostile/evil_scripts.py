"""Names of others in scripts for Occlum and their BOMs, and in what is written of them."""

from __future__ import annotations

import json
import shlex

from hostile.evil_names import World
from hostile.printed import FORGED

_NEW = "occlum new i\ncd i\nrm -rf image\n"
_FILL = "copy_bom -f ../bom.yaml --root image --include-dir %s\n"
_LINES = (
    "export V=%s\n",
    "jq '.env.default += [%s]' Occlum.json >x; mv x Occlum.json\n",
    "jq '.%s = 1 | %s' Occlum.json >x; mv x Occlum.json\n",
    "jq --arg N %s '.a = $N | .[%s] = 1' Occlum.json >x; mv x Occlum.json\n",
    "mkdir image/%s\n",
    "cp %s image/%s\n",
    "occlum build --%s\n",
    "copy_bom -f %s --root image\n",
    "copy_bom -f ../bom.yaml --root %s\n",
    "cp %s Occlum.json\n",
    "sed -i s/300MB/%s/ Occlum.json\n",
    "sed -i %s Occlum.json\n",
)


def look_at_scripts(world: World) -> None:
    """A script that has the name in each place, one at a time, with a BOM that needs it."""
    text = world.text
    folder = world.path / "demo"
    folder.mkdir()
    for bom in (
        "targets: [{target: /, copy: [{files: [%s, ../hello, $V]}]}]",
        "includes: [%s]\ntargets: [{target: /}]",
    ):
        (folder / "bom.yaml").write_text(bom % json.dumps(text))
        for line in _LINES:
            word = json.dumps(text) if "jq" in line else shlex.quote(text)
            (folder / "run.sh").write_text(_NEW + line.replace("%s", word) + _FILL % word)
            told = world.run("init-pants", "demo", "--dry-run")
            assert "occlum_bom(" in told or "there is no BOM" in told, told
    (folder / "Occlum.json").write_text(json.dumps({"resource_limits": text}))
    (folder / "run.sh").write_bytes(b"occlum new " + world.bytes + b"\ncd " + world.bytes + b"\n")
    name = text.replace("/", "_")
    (folder / f"{name}.yaml").write_text("targets: [{target: /}]")
    (folder / name).mkdir()
    (folder / name / "x.sh").write_text(f"occlum new i\ncp x i/image/{name}\n")
    (folder / name / "x.yaml").write_text("targets: [{target: /, copy: [{files: [../gone]}]}]")
    world.run("init-pants", "demo")
    written = (folder / "BUILD").read_text()
    assert all(map(str.isprintable, written.split("\n"))) and FORGED not in written.split("\n")
    world.run("init-pants", "demo")
    assert (folder / "BUILD").read_text() == written
