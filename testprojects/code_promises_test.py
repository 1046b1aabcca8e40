"""The code reads within bounds and recurses over nothing of others, but for what has a reason here.

Files that others made are read by `occlum_build.files.reading`, JSON by `.json_text`. Beyond these,
each place has its reason in ALLOWED.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from code_checker import (
    BLIND,
    JSON,
    LINES,
    RECURSION,
    TREE,
    UNBOUNDED_READ,
    WHOLE_FILE,
    Finding,
    findings,
)

LIBRARY, RULES = "src/python/occlum_build", "rules/pants_occlum"
_OWN_JSON = "what our own process or the plugin wrote, within one run"
_OWN_CACHE = "a line of a cache; what cannot be read counts as absent"
_OWN_CODE = "the plugin's own source files"
_DEPTH_OF_JSON = "as deep as parse_json lets a document be"

ANY = "*"  # function of a file

# File, and function with what it does -> why that is right.
ALLOWED: dict[str, dict[tuple[str, str], str]] = {
    f"{LIBRARY}/bom/yaml_nodes.py": {
        (f"_Composer.{name}", RECURSION): "no deeper than MAX_DEPTH"
        for name in ("_items", "_mapping", "_node")
    },
    f"{LIBRARY}/checks/refusal.py": {
        (name, RECURSION): "as many interpreters of interpreters as the kernel follows"
        for name in ("_of_content", "_of_script")
    },
    f"{LIBRARY}/elf/archive.py": {
        (f"_Reader.{name}", RECURSION): "no more archives in one another than MAX_DEPTH"
        for name in ("_read_member", "read")
    },
    f"{LIBRARY}/files/recovery.py": {
        (name, RECURSION): "one that is the first of its change leads no further"
        for name in ("_complete", "_complete_first")
    },
    f"{LIBRARY}/files/json_text.py": {(ANY, JSON): "the one place for it"},
    f"{LIBRARY}/files/shape.py": {(ANY, RECURSION): "no deeper than the shape"},
    f"{LIBRARY}/image/manifest.py": {("manifest_of", JSON): "the text that was just written"},
    f"{LIBRARY}/image/tar.py": {("_step", JSON): _OWN_JSON},
    f"{LIBRARY}/occlum/build.py": {
        ("_Build._is_up_to_date", JSON): "what was just written, as JSON has it",
    },
    f"{LIBRARY}/occlum/instance.py": {("_write", WHOLE_FILE): "parts that the build itself made"},
    f"{LIBRARY}/occlum/configure.py": {
        ("_step", JSON): _OWN_JSON,
        ("_step", WHOLE_FILE): _OWN_JSON,
    },
    f"{LIBRARY}/occlum/initfs.py": {
        ("_step", JSON): _OWN_JSON,
        ("_step", WHOLE_FILE): _OWN_JSON,
    },
    f"{LIBRARY}/occlum/seal_files.py": {
        ("_step", JSON): _OWN_JSON,
        ("_step", WHOLE_FILE): _OWN_JSON,
    },
    f"{LIBRARY}/occlum/seal_image.py": {
        ("Request.from_json", JSON): _OWN_JSON,
        ("read_macs", JSON): _OWN_JSON,
        ("_seal_tree", WHOLE_FILE): _OWN_JSON,
        ("_step", WHOLE_FILE): _OWN_JSON,
    },
    f"{LIBRARY}/oci/layer.py": {("_step", JSON): _OWN_JSON},
    f"{LIBRARY}/oci/parts.py": {("_step", JSON): _OWN_JSON},
    f"{LIBRARY}/process/complete.py": {("complete_tree", JSON): _OWN_JSON},
    f"{LIBRARY}/process/contents.py": {("Contents.__init__", JSON): _OWN_JSON},
    f"{LIBRARY}/process/packs.py": {("read_index", JSON): _OWN_JSON},
    f"{LIBRARY}/sbom/cyclonedx.py": {("_document", JSON): "the text that was just written"},
    f"{LIBRARY}/sbom/step.py": {("_step", JSON): _OWN_JSON},
    f"{LIBRARY}/report/page/html.py": {("template", WHOLE_FILE): "a file of the library itself"},
    f"{LIBRARY}/report/page/step.py": {
        ("_step", JSON): _OWN_JSON,
        ("_step", WHOLE_FILE): "a file of the library itself",
    },
    f"{LIBRARY}/run/case.py": {("_step", JSON): _OWN_JSON},
    f"{LIBRARY}/run/inside.py": {("_outcome", JSON): _OWN_JSON},
    f"{LIBRARY}/sefs/pf_reader.py": {
        ("PfReader.mht_node", RECURSION): "a node has 32 children: 13 levels for 2^63 bytes",
    },
    f"{LIBRARY}/sefs/protect.py": {("protect_bytes", UNBOUNDED_READ): "what was just written"},
    f"{LIBRARY}/sgx/config/default.py": {("merge", RECURSION): _DEPTH_OF_JSON},
    f"{LIBRARY}/sgx/config/jsonbytes.py": {
        ("_text", RECURSION): _DEPTH_OF_JSON,
        ("sort_keys", RECURSION): _DEPTH_OF_JSON,
    },
    f"{LIBRARY}/sgx/config/jsontext.py": {
        ("_Reader._string", JSON): "one string, which holds nothing",
        ("plain", RECURSION): _DEPTH_OF_JSON,
    },
    f"{LIBRARY}/sgx/config/later.py": {("_repeated_keys", RECURSION): _DEPTH_OF_JSON},
    f"{LIBRARY}/sgx/config/later_mounts.py": {("_mount", RECURSION): _DEPTH_OF_JSON},
    f"{LIBRARY}/sgx/config/schema.py": {
        (name, RECURSION): _DEPTH_OF_JSON for name in ("_mount", "_mounts", "_options")
    },
    f"{LIBRARY}/sgx/config/sysjson.py": {
        (name, RECURSION): _DEPTH_OF_JSON for name in ("_mount", "_options")
    },
    f"{LIBRARY}/switch/build_file.py": {("_value", RECURSION): _DEPTH_OF_JSON},
    f"{LIBRARY}/switch/jq.py": {("merge_patch", RECURSION): _DEPTH_OF_JSON},
    f"{LIBRARY}/trace/strace.py": {("go_on", JSON): _OWN_JSON},
    f"{RULES}/bom/facts.py": {("scan_batch", JSON): _OWN_JSON},
    f"{RULES}/compat/rule_calls.py": {
        ("_Calls._lookup", RECURSION): "over the expressions of the plugin's own rules",
    },
    f"{RULES}/dist/index.py": {(ANY, JSON): _OWN_CACHE},
    f"{RULES}/enclave/checked.py": {
        (name, JSON): _OWN_JSON for name in ("check_enclave_of", "_inputs")
    },
    f"{RULES}/enclave/expected.py": {("made_of", JSON): _OWN_JSON},
    f"{RULES}/enclave/goals/package.py": {
        (name, JSON): _OWN_JSON for name in ("_check", "_package")
    },
    f"{RULES}/enclave/instance.py": {("_initfs_modes", JSON): _OWN_JSON},
    f"{RULES}/enclave/occlum_builder.py": {("_compare", JSON): _OWN_JSON},
    f"{RULES}/enclave/signing.py": {
        ("_key_in_archive", TREE): "a tree that our reader of archives made",
        ("_key_in_archive", WHOLE_FILE): "a file that our reader of archives made",
        ("sign_enclave", JSON): _OWN_JSON,
    },
    f"{RULES}/image/blobs.py": {("make_layer_blob", JSON): _OWN_JSON},
    f"{RULES}/process/loaded_sources.py": {
        ("LoadedSources.__init__", WHOLE_FILE): _OWN_CODE,
        ("LoadedSources._differs", WHOLE_FILE): _OWN_CODE,
        ("_let_pantsd_restart", WHOLE_FILE): _OWN_CODE,
        ("_source_files", RECURSION): _OWN_CODE,
    },
    f"{RULES}/sysroot/glance.py": {("_keep_times", LINES): "the kernel's list of mounts"},
    f"{RULES}/sysroot/hash_memo.py": {(ANY, JSON): _OWN_CACHE},
}
_NO_CODE_OF_USERS = re.compile(r"(.*_test|testing.*|conftest|vectors_for_tests)\.py")


def sources() -> Iterator[tuple[str, str]]:
    """Path and text of each module that users run."""
    for top in (LIBRARY, RULES):
        for path in sorted(Path(top).rglob("*.py")):
            if not _NO_CODE_OF_USERS.fullmatch(path.name):
                yield str(path), path.read_text(encoding="utf-8")


def allowed_as(found: Finding) -> Finding | None:
    """The entry of ALLOWED that a finding is one of; None where it has no reason."""
    of_file = ALLOWED.get(found.file, {})
    for function in (found.function, ANY):
        if (function, found.what) in of_file:
            return found._replace(function=function)
    return None


def test_nothing_is_found_that_has_no_reason(
    record_property: Callable[[str, object], None],
) -> None:
    modules = dict(sources())
    found = [one for path, text in modules.items() for one in findings(text, path)]
    record_property("modules whose reads and recursion are checked", len(modules))
    assert len(modules) > 200
    assert [str(one) for one in found if allowed_as(one) is None] == []


def test_every_reason_is_for_something() -> None:
    used = {allowed_as(one) for path, text in sources() for one in findings(text, path)}
    given = {
        Finding(file, function, what)
        for file, of_file in ALLOWED.items()
        for function, what in of_file
    }
    assert [str(one) for one in sorted(given - used)] == []


PLANTED = {
    UNBOUNDED_READ: ["file.read()", "file.read(-1)", "open(p).readline()", "a.b.readlines()"],
    WHOLE_FILE: ["path.read_text()", "Path(p).read_bytes()", "x = p.read_text(encoding='a')"],
    LINES: [
        "with open(p) as lines:\n    for line in lines:\n        print(line)",
        "with path.open() as lines:\n    found = [one for one in lines]",
    ],
    JSON: ["json.loads(text)", "x = json.load(file)", "JSONDecoder().decode(a)"],
    TREE: ["os.walk(p)", "shutil.rmtree(p)", "for one in path.rglob('*'): pass"],
    RECURSION: [
        "def walk(a):\n    for one in a:\n        walk(one)",
        "def walk(a):\n    yield from walk(a)",
        "def walk(a):\n    other(a)\ndef other(a):\n    walk(a)",
        "class A:\n    def walk(self):\n        self.walk()",
        "def outer():\n    def walk(a):\n        walk(a)\n    walk(1)",
        "async def walk(a):\n    await walk(a)",
    ],
    BLIND: [
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept (ValueError, BaseException) as error:\n    print(error)",
        "try:\n    f()\nexcept Exception:  # noqa: BLE001\n    pass",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept Exception as error:\n    raise Other(error) from None",
        "try:\n    f()\nexcept Exception as error:\n    raise Other from error",
    ],
}
HARMLESS = [
    "file.read(4096)",
    "read_file(path, KEY_BYTES)",
    "load_json(data, name)",
    "json.dumps(value)",
    "for name in os.listdir(p): pass",
    "class A:\n    def walk(self):\n        walk(1)",
    "def walk(a):\n    self.b.walk(a)",
    "try:\n    f()\nexcept Exception:\n    clean_up()\n    raise",
    "try:\n    f()\nexcept Exception as error:\n    clean_up()\n    raise error from None",
    "try:\n    f()\nexcept Exception:  # noqa: BLE001 - the engine's own\n    pass",
    "with open(p) as file:\n    data = file.read(10)\nfor one in lines:\n    pass",
]


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found(what: str) -> None:
    for sample in PLANTED[what]:
        assert what in [one.what for one in findings(sample, "x.py")], sample
        nested = "def outer():\n    " + sample.replace("\n", "\n    ")
        assert what in [one.what for one in findings(nested, "x.py")], nested


@pytest.mark.parametrize("sample", HARMLESS)
def test_what_is_right_is_not_found(sample: str) -> None:
    assert findings(sample, "x.py") == []


def test_a_finding_says_where() -> None:
    (found,) = findings("class A:\n    def f(self):\n        return p.read_text()", "a/b.py")
    assert str(found) == "a/b.py: A.f reads a whole file"
