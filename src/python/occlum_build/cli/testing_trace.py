"""Images of programs of this machine, made as a BOM says, for tests that trace runs of them."""

from __future__ import annotations

from pathlib import Path

from occlum_build.cli.main import main


def make(folder: Path, bom: str) -> Path:
    """The image of a BOM, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bom.yaml").write_text(bom)
    image = folder / "image"
    assert main(["copy-bom", "-f", str(folder / "bom.yaml"), "--root", str(image)]) == 0
    return image


def run(*arguments: object) -> int:
    """The exit code of the verb `run`; a program's own comes by SystemExit."""
    try:
        return main(["run", *map(str, arguments)])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


def snippet_of(told: str) -> str:
    """The BOM in what a traced run tells, as a person would paste it."""
    lines = told.splitlines()
    start = lines.index("targets:")
    end = next((i for i in range(start, len(lines)) if lines[i].startswith("#")), len(lines))
    return "".join(f"{line}\n" for line in lines[start:end])


def pasted(bom: str, snippet: str) -> str:
    """A BOM whose `targets` come last, with those of a snippet."""
    return bom + snippet.replace("targets:\n", "", 1)
