from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from pants.engine.fs import CreateDigest, Digest, DigestContents, DigestEntries, FileContent
from pants.engine.process import Process, ProcessResult
from pants.engine.rules import QueryRule
from pants.testutil.rule_runner import RuleRunner, engine_error

from pants_occlum.process import tool_process, tool_sources
from pants_occlum.process.tool_process import ToolProcess, ToolProcessRequest

SCAN = "occlum_build.elf.scan"


def new_runner(named_caches_dir: Path) -> RuleRunner:
    rule_runner = RuleRunner(
        rules=[
            *tool_process.rules(),
            QueryRule(ToolProcess, [ToolProcessRequest]),
            QueryRule(ProcessResult, [Process]),
            QueryRule(Digest, [CreateDigest]),
            QueryRule(DigestContents, [Digest]),
            QueryRule(DigestEntries, [Digest]),
        ],
        isolated_local_store=True,
        bootstrap_args=[f"--named-caches-dir={named_caches_dir}"],
    )
    rule_runner.set_options([f"--named-caches-dir={named_caches_dir}"])
    return rule_runner


def scan_request(rule_runner: RuleRunner, description: str) -> ToolProcessRequest:
    files = [
        FileContent("in/self", Path("/proc/self/exe").read_bytes()),
        FileContent("in/text", b"no ELF"),
        FileContent("json.py", b"raise SystemExit('the input took the place of a module')"),
    ]
    return ToolProcessRequest(
        module=SCAN,
        argv=("in", "facts.json"),
        description=description,
        input_digest=rule_runner.request(Digest, [CreateDigest(files)]),
        requirements=("pyelftools",),
        output_files=("facts.json",),
    )


def test_process_does_its_work(tmp_path: Path) -> None:
    rule_runner = new_runner(tmp_path)
    process = rule_runner.request(
        ToolProcess, [scan_request(rule_runner, "Read ELF facts")]
    ).process
    result = rule_runner.request(ProcessResult, [process])
    (output,) = rule_runner.request(DigestContents, [result.output_digest])
    facts = json.loads(output.content)
    assert output.path == "facts.json"
    assert facts["text"] is None
    assert "libc.so.6" in facts["self"]["needed"]


def test_large_inputs_are_compared_by_the_process(tmp_path: Path) -> None:
    rule_runner = new_runner(tmp_path)
    files = [FileContent("in/large", bytes(512 << 10)), FileContent("in/small", bytes(512 << 9))]
    request = replace(
        scan_request(rule_runner, ""),
        input_digest=rule_runner.request(Digest, [CreateDigest(files)]),
    )
    process = rule_runner.request(ToolProcess, [request]).process
    contents = rule_runner.request(DigestContents, [process.input_digest])
    (table,) = (file.content for file in contents if file.path == ".inputs.json")
    assert json.loads(table) == [["in/large", hashlib.sha256(bytes(512 << 10)).hexdigest()]]
    assert rule_runner.request(ProcessResult, [process]).stderr == b""


def launch(folder: Path, **contents: bytes) -> subprocess.CompletedProcess[str]:
    """Run the launcher on a module that says hello, with large inputs that should be `x`."""
    (folder / ".tool").mkdir(exist_ok=True)
    (folder / ".tool/__main__.py").write_bytes(tool_process.LAUNCHER)
    (folder / ".tool/hello.py").write_text("import sys; print('hello', sys.argv[1])")
    sha256 = hashlib.sha256(b"x").hexdigest()
    (folder / ".inputs.json").write_text(json.dumps([[path, sha256] for path in sorted(contents)]))
    for path, content in contents.items():
        (folder / path).write_bytes(content)
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", ".tool", "hello", "world"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_damaged_inputs_are_told_and_not_used(tmp_path: Path) -> None:
    assert launch(tmp_path, a=b"x").stdout == "hello world\n"
    done = launch(tmp_path, a=b"x", b=b"", c=b"xx")
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert [line[:30] for line in lines[::2]] == [
        "b: the input is damaged, its S",
        "c: the input is damaged, its S",
    ]
    sha256 = hashlib.sha256(b"x").hexdigest()
    assert f"remove immutable/files/{sha256[:2]}/{sha256} below" in lines[1]


def test_same_key_in_another_checkout_with_another_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = []
    for number in range(2):
        elsewhere = tmp_path / f"venv{number}/bin/python"
        elsewhere.parent.mkdir(parents=True)
        elsewhere.symlink_to(os.path.realpath(sys.executable))
        monkeypatch.setattr(sys, "executable", str(elsewhere))
        rule_runner = new_runner(tmp_path / f"caches{number}")
        # What a process is called has the target's name in it.
        request = scan_request(rule_runner, f"Read ELF facts for //image:{number}")
        processes.append(rule_runner.request(ToolProcess, [request]).process)
        assert rule_runner.build_root not in repr(processes[-1])
        assert str(tmp_path) not in repr(processes[-1])
    assert processes[0] == processes[1]
    assert processes[0].description != processes[1].description


def test_wrong_link_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "occlum_python/python"
    link.parent.mkdir()
    link.symlink_to("/nonexistent")
    rule_runner = new_runner(tmp_path)
    rule_runner.request(ToolProcess, [scan_request(rule_runner, "")])
    assert os.readlink(link) == os.path.realpath(sys.executable)
    assert os.listdir(link.parent) == ["python"]


def test_sandbox_has_only_what_the_tool_imports(tmp_path: Path) -> None:
    rule_runner = new_runner(tmp_path)
    process = rule_runner.request(ToolProcess, [scan_request(rule_runner, "")]).process
    digest = process.immutable_input_digests[".tool"]
    paths = [entry.path for entry in rule_runner.request(DigestEntries, [digest])]
    assert [path for path in paths if not path.startswith("elftools/")] == [
        "__main__.py",
        "occlum_build/__init__.py",
        "occlum_build/elf/__init__.py",
        "occlum_build/elf/archive.py",
        "occlum_build/elf/data_paths.py",
        "occlum_build/elf/facts.py",
        "occlum_build/elf/layout.py",
        "occlum_build/elf/read.py",
        "occlum_build/elf/scan.py",
        "occlum_build/elf/zip_reader.py",
        "occlum_build/shown.py",
        "occlum_build/table.py",
    ]
    assert "elftools/elf/elffile.py" in paths
    assert all(path.endswith(".py") for path in paths)


def test_imports_for_type_checking_alone_are_left_out() -> None:
    assert list(tool_sources.tool_modules("occlum_build.sources.model")) == [
        "occlum_build/__init__.py",
        "occlum_build/errors.py",
        "occlum_build/files/__init__.py",
        "occlum_build/files/bounds.py",
        "occlum_build/shown.py",
        "occlum_build/sources/__init__.py",
        "occlum_build/sources/model.py",
    ]


def test_package_brings_its_parents_and_not_its_modules() -> None:
    assert list(tool_sources.tool_modules("occlum_build.elf")) == [
        "occlum_build/__init__.py",
        "occlum_build/elf/__init__.py",
    ]


def test_module_that_is_missing(tmp_path: Path) -> None:
    request = ToolProcessRequest("occlum_build.nothing", (), "")
    with engine_error(ModuleNotFoundError, contains="the library has no module"):
        new_runner(tmp_path).request(ToolProcess, [request])


def test_requirement_that_is_compiled_or_missing() -> None:
    with pytest.raises(ValueError, match="cryptography has compiled parts"):
        tool_sources.requirement_modules("cryptography")
    with pytest.raises(PackageNotFoundError):
        tool_sources.requirement_modules("occlum-no-such-distribution")
