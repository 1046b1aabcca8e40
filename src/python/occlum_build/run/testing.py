"""A small image of programs of this machine, for tests that run something in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from occlum_build.sgx.config import default_config
from occlum_build.sgx.config.jsontext import plain

BOM = """\
targets:
- target: /bin
  copy: [{files: [/bin/bash, /bin/cat, /bin/ls, /bin/sleep]}]
- target: /
  mkdirs: [data, dev, host, proc, tmp]
  createlinks: [{src: /data, linkname: link}]
"""


def make_image(folder: Path) -> Path:
    """The image of BOM in a folder, with a script `bin/greet` that has another mode."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bom.yaml").write_text(BOM)
    image = folder / "image"
    copy_bom = ["copy-bom", "-f", str(folder / "bom.yaml"), "--root", str(image)]
    command = [sys.executable, "-m", "occlum_build.cli.main", *copy_bom]
    subprocess.run(command, check=True, capture_output=True)
    (image / "bin/greet").write_text("#!/bin/bash\necho hello $1\n")
    (image / "bin/greet").chmod(0o755)
    return image


def write_config(path: Path, **changes: object) -> Path:
    """Occlum's default configuration with other values of its top-level keys."""
    path.write_text(json.dumps({**plain(default_config()), **changes}))
    return path
