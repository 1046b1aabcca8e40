from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.cli.testing_trace import run, snippet_of
from occlum_build.image.testing_schema import check_json
from occlum_build.run.testing import make_image
from occlum_build.trace.record import Record
from occlum_build.trace.testing import need

SCRIPT = "cat /etc/debian_version >/dev/null; [ -e /etc/no ]; ls /data; exit 3"
ENV = ("--env", "HOME=/", "--env", "PATH=/bin")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("/etc/debian_version")
    return make_image(tmp_path_factory.mktemp("trace"))


def test_what_is_missing_is_told_when_the_program_has_ended(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--trace", *ENV, image, "--", "/bin/bash", "-c", SCRIPT) == 3
    told = capfd.readouterr()
    assert told.out == ""
    assert "note: what the image lacks is shown to /bin/bash from /, read-only\n" in told.err
    assert "    - /etc/debian_version  # base-files " in snippet_of(told.err)
    assert "open by /bin/cat\n" in told.err


def test_without_what_is_missing(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--trace", "--alone", *ENV, image, "--", "/bin/bash", "-c", SCRIPT) == 3
    told = capfd.readouterr().err
    assert "cat: /etc/debian_version: No such file or directory" in told
    assert "    - /etc/debian_version  # base-files " in snippet_of(told)
    assert "is shown" not in told


def test_a_root_of_its_own(image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/no").write_text("there\n")
    script = "cat /etc/no; cat /etc/debian_version"
    options = ("--trace", "--root", tmp_path, *ENV)
    assert run(*options, image, "--", "/bin/bash", "-c", script) == 1
    told = capfd.readouterr()
    assert told.out == "there\n"
    assert "    - /etc\n" not in snippet_of(told.err)
    assert "/etc/no  # open by /bin/cat" in snippet_of(told.err)
    assert "debian_version" not in snippet_of(told.err)


def test_a_machine_that_cannot_show_what_is_missing(
    image: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("occlum_build.trace.strace.can_supply", lambda _spec: False)
    assert run("--trace", *ENV, image, "--", "/bin/bash", "-c", SCRIPT) == 3
    told = capfd.readouterr().err
    assert "note: this machine cannot show a root file system below the image" in told
    assert "    - /etc/debian_version  # base-files " in snippet_of(told)


def test_records_of_several_runs(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.json"
    for script in ("cat /etc/debian_version", "ls /bin"):
        assert run("--record", record, *ENV, image, "--", "/bin/bash", "-c", script) == 0
    check_json(json.loads(record.read_text()), "occlum_build.trace", "record.schema.json")
    assert str(tmp_path) not in record.read_text()
    capfd.readouterr()

    assert main(["trace", str(image), str(record)]) == 0
    text = capfd.readouterr().out
    assert "/etc/debian_version  # base-files" in snippet_of(text)
    assert main(["trace", str(image), str(record), "--json"]) == 0
    value = json.loads(capfd.readouterr().out)
    check_json(value, "occlum_build.trace", "trace.schema.json")
    assert (value["runs"], value["bom"]) == (2, snippet_of(text))
    assert "/etc/debian_version" in [one["path"] for one in value["missing"]]
    assert {
        "path": "/etc/ld.so.cache",
        "reason": "hidden: the machine has it for all its programs",
    } in (value["left_out"])

    assert main(["trace", str(image), str(record), "--unused"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("not opened in 2 runs: 2 of ")
    assert [line.split()[1] for line in lines[1:3]] == ["/bin/sleep", "/bin/greet"]
    assert main(["trace", str(image), str(record), "--unused", "--all", "--json"]) == 0
    value = json.loads(capfd.readouterr().out)
    check_json(value, "occlum_build.trace", "trace.schema.json")
    assert [one["path"] for one in value["unused"]] == ["/bin/greet", "/bin/sleep"]


def test_a_record_that_cannot_be_added_to(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "record.json").write_text("[]")
    options = ("--record", tmp_path / "record.json")
    assert run(*options, image, "--", "/bin/bash", "-c", "echo ran") == 1
    told = capfd.readouterr()
    assert told.out == ""
    assert "record.json: the document is a list, not an object" in told.err


def test_a_place_that_takes_no_record_is_told_before_anything_runs(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--record", "/proc/x.json", image, "--", "/bin/bash", "-c", "echo ran") == 1
    told = capfd.readouterr()
    assert (told.out, "error: /proc/x.json: " in told.err) == ("", True)


def test_what_is_missing_is_told_of_a_run_whose_record_cannot_be_kept(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_room(path: Path, _record: Record) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("occlum_build.trace.record.add_to_file", no_room)
    options = ("--record", tmp_path / "record.json", *ENV)
    assert run(*options, image, "--", "/bin/bash", "-c", SCRIPT) == 1
    told = capfd.readouterr().err
    assert "record.json: No space left on device" in told
    assert "    - /etc/debian_version  # base-files " in snippet_of(told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--root", "/none"),
            "error: the root /none is no directory\n  hint: name one with --root",
        ),
        ((), "No such file or directory"),
    ],
)
def test_what_is_not_there(
    arguments: tuple[str, ...], told: str, image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = image.parent / "record.json"
    if arguments:
        record.write_text('{"schema": 1, "runs": 0, "incomplete": false, "asks": []}')
    assert main(["trace", str(image), str(record), *arguments]) == 1
    assert told in capfd.readouterr().err
    record.unlink(missing_ok=True)


def test_no_strace(
    image: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/none")
    assert run("--trace", image, "--", "/bin/bash", "-c", "echo ran") == 1
    told = capfd.readouterr()
    assert told.out == ""
    assert "hint: install it: `apt-get install strace`" in told.err
