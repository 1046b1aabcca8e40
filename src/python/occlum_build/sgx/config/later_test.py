"""Every check that makes a warning, and with `strict` an error, with its place and JSON path."""

from __future__ import annotations

import pytest

from occlum_build.errors import NOTE, OcclumError
from occlum_build.sgx.config import check, default_config, merge, parse_json

LIMITS = '{"resource_limits": {\n '
METADATA = '{"metadata": {\n '
MOUNT = '{"mount": [\n '
ROOT = (
    '{"type": "unionfs", "target": "/", "options": {"layers": ['
    '{"type": "sefs", "target": "/", "source": "image", "options": {"MAC": ""}}, '
    '{"type": "sefs", "target": "/", "source": "changes"}]}}'
)
WITH_ROOT = f'{{"mount": [{ROOT},\n '


def warnings(patch: str, *, edmm: bool = False) -> list[str]:
    document = merge(default_config(), parse_json(patch.encode(), "p"))
    return [f"{item.place}: {item.message}" for item in check(document, edmm=edmm).warnings]


WARNINGS = [
    ('{\n"mounts": 1}', False, "p:2:1: $.mounts: unknown key: it is ignored"),
    ('{"feature": {"a b": 1}}', False, "p:1:14: $.feature['a b']: unknown key: it is ignored"),
    (
        METADATA + '"product_id": 65536}}',
        False,
        "p:2:16: $.metadata.product_id: 65536 does not fit 16 bits: sgx_sign takes 0 to 65535",
    ),
    (
        METADATA + '"family_id": {"low": "zz"}}}',
        False,
        "p:2:23: $.metadata.family_id.low: 'zz' is ignored, as enable_kss is false",
    ),
    (
        '{"feature": {"amx": 3}}',
        False,
        "p:1:21: $.feature.amx: 3 is not 0, 1 or 2: sgx_sign refuses it",
    ),
    (
        LIMITS + '"max_num_of_threads": 0}}',
        True,
        "p:2:24: $.resource_limits.max_num_of_threads: "
        "the enclave would have no thread; sgx_sign wants at least 1",
    ),
    (
        LIMITS + '"init_num_of_threads": 0}}',
        True,
        "p:2:25: $.resource_limits.init_num_of_threads: "
        "the enclave would have no thread; sgx_sign wants at least 1",
    ),
    (
        LIMITS + '"kernel_space_stack_size": "4097B"}}',
        False,
        "p:2:29: $.resource_limits.kernel_space_stack_size: "
        "4097 bytes are less than sgx_sign's minimum, 8192 (8KB)\n"
        "p:2:29: $.resource_limits.kernel_space_stack_size: "
        "4097 bytes are not a multiple of 4096, as sgx_sign wants",
    ),
    (
        LIMITS + '"user_space_size": "8388608TB"}}',
        False,
        "p:2:21: $.resource_limits.user_space_size: "
        "9223372036854775808 bytes are more than sgx_sign takes, 9223372036854775807",
    ),
    (
        LIMITS + '"user_space_size": "0B"}}',
        False,
        "p:2:21: $.resource_limits.user_space_size: without user space no process can run",
    ),
    (
        LIMITS + '"kernel_space_heap_max_size": "16MB"}}',
        False,
        "p:2:32: $.resource_limits.kernel_space_heap_max_size: "
        "without EDMM the heap has its maximum at once; kernel_space_heap_size, 33554432, "
        "is ignored, though it is larger",
    ),
    (
        '{"process": {"default_heap_size": "banana"}}',
        False,
        "p:1:35: $.process.default_heap_size: 'banana' is not a size: the libOS fails at boot",
    ),
    (
        '{"entry_points": ["/bin", "bin", 5]}',
        False,
        "p:1:27: $.entry_points[1]: 'bin' is not absolute: the libOS fails at boot\n"
        "p:1:34: $.entry_points[2]: the libOS wants a string, found the number 5",
    ),
    (
        '{"entry_points": []}',
        False,
        "p:1:18: $.entry_points: without an entry point no program can be run",
    ),
    (
        '{"entry_points": "/bin"}',
        False,
        "p:1:18: $.entry_points: the libOS wants a list of strings, found the string '/bin'",
    ),
    ('{"env": 7}', False, "p:1:9: $.env: the libOS wants an object, found the number 7"),
    (
        '{"env": {"defaults": 1, "default": [{"a": 1, "a": 2}]}}',
        False,
        "p:1:10: $.env.defaults: unknown key: the libOS fails at boot\n"
        "p:1:37: $.env.default[0]: the libOS wants a string, found an object\n"
        "p:1:46: $.env.default[0].a: the key is given more than once: the last one counts",
    ),
    (
        WITH_ROOT + '{"type": "hostf", "target": "a"}]}',
        False,
        "p:2:11: $.mount[1].type: 'hostf' is no file system of the libOS: it fails at boot\n"
        "p:2:30: $.mount[1].target: 'a' is not absolute: the libOS fails at boot",
    ),
    (
        WITH_ROOT + '{"type": "procfs", "target": "/proc"}]}',
        False,
        "p:2:31: $.mount[1].target: Occlum mounts procfs here by itself",
    ),
    (
        WITH_ROOT + '{"type": "ramfs", "target": "/"}]}',
        False,
        'p:2:30: $.mount[1].target: a second root: the mount of "/" is $.mount[0], '
        "only it gets the MAC",
    ),
    (
        WITH_ROOT
        + '{"type": "sefs", "target": "/a", "options": {"MAC": "00-11", "temporary": true}, '
        '"source": "s"}]}',
        False,
        "p:2:54: $.mount[1].options.MAC: '00-11' is not 16 bytes in hexadecimal: "
        "the libOS fails at boot\n"
        "p:2:76: $.mount[1].options.temporary: "
        "the libOS refuses a temporary file system that has a MAC",
    ),
    (
        WITH_ROOT + '{"type": "unionfs", "target": "/a", "options": {"layers": [\n'
        '{"type": "sefs", "target": "/", "options": {"cache_size": "1", "disk_size": "x"}, '
        '"source": "s"}, {"type": "sefs", "target": "/", "source": "t"}]}}]}',
        False,
        "p:3:59: $.mount[1].options.layers[0].options.cache_size: "
        "'1' is not a size: the libOS fails at boot\n"
        "p:3:77: $.mount[1].options.layers[0].options.disk_size: "
        "'x' is not a size: the libOS fails at boot",
    ),
    (
        MOUNT + '{"type": "unionfs", "target": "/", "options": {"layers": [\n'
        '{"type": "sefs", "target": "/", "options": {"MAC": "old"}, "source": "s"}]}}]}',
        False,
        "p:2:59: $.mount[0].options.layers: "
        'no layer takes what is written: of type "sefs", with the target "/" and no MAC: '
        "the libOS fails at boot\n"
        "p:3:52: $.mount[0].options.layers[0].options.MAC: "
        "ignored: the MAC of the image replaces it",
    ),
    *(
        (
            WITH_ROOT + f'{{"type": "{kind}", "target": "/a"}}]}}',
            False,
            f"p:2:2: $.mount[1].source: a {kind} without a source: the libOS fails at boot",
        )
        for kind in ("hostfs", "sefs")
    ),
    (
        MOUNT + '{"type": "unionfs", "target": "/", "options": {"layers": [\n'
        '{"type": "sefs", "target": "/", "options": {"MAC": ""}, "source": "s"},\n'
        '{"type": "sefs", "target": "/"}]}}]}',
        False,
        "p:4:1: $.mount[0].options.layers[1].source: "
        "a sefs without a source: the libOS fails at boot",
    ),
    *(
        (
            WITH_ROOT
            + '{"type": "unionfs", "target": "/a", "options": {"layers": ['
            + ", ".join(f'{{"type": "{t}", "target": "/", "source": "s"}}' for t in types)
            + "]}}]}",
            False,
            f"p:2:60: $.mount[1].options.layers: the layers of a unionfs must be two of type "
            f"'sefs', not {shown}: the libOS fails at boot",
        )
        for types, shown in (
            ((), "none"),
            (("sefs",), "'sefs'"),
            (("hostfs", "sefs"), "'hostfs', 'sefs'"),
            (("sefs", "ramfs"), "'sefs', 'ramfs'"),
        )
    ),
    (
        WITH_ROOT + '{"type": "unionfs", "target": "/a"}]}',
        False,
        "p:2:2: $.mount[1].options.layers: the layers of a unionfs must be two of type "
        "'sefs', not none: the libOS fails at boot",
    ),
    (
        WITH_ROOT
        + '{"type": "unionfs", "target": "/a", "options": {"layers": [\n'
        + ",\n".join(['{"type": "sefs", "target": "/", "source": "s"}'] * 3)
        + "]}}]}",
        False,
        "p:5:1: $.mount[1].options.layers[2]: only the first two layers count",
    ),
    (
        '{"env": {"default": null}}',
        False,
        "p:1:9: $.env.default: the key is missing: the libOS fails at boot",
    ),
    (
        '{"env": {"untrusted": null, "default": null}}',
        False,
        "p:1:9: $.env.default: the key is missing: the libOS fails at boot\n"
        "p:1:9: $.env.untrusted: the key is missing: the libOS fails at boot",
    ),
    *(
        (
            f'{{"process": {{"default_heap_size": "{heap}"}}, {limits}}}',
            edmm,
            f"p:1:35: $.process.default_heap_size: '{heap}' and the default_stack_size, '4MB', "
            f"leave no room in the user space, {space} bytes: no process can start",
        )
        for heap, limits, edmm, space in (
            ("65536MB", '"resource_limits": {"user_space_size": "4MB"}', False, 4 << 20),
            ("296MB", '"entry_points": ["/bin"]', False, 300 << 20),
            ("16380MB", '"entry_points": ["/bin"]', True, 16 << 30),
        )
    ),
]


@pytest.mark.parametrize(
    "patch",
    [
        '{"process": {"default_heap_size": "295MB"}}',
        '{"process": {"default_mmap_size": "400MB"}}',  # it is not taken at boot
        '{"process": {"default_heap_size": "1GB"}, '
        '"resource_limits": {"user_space_max_size": "2GB"}}',
        WITH_ROOT + '{"type": "ext2", "target": "/a", "options": {"disk_size": "5GB"}}]}',
        WITH_ROOT + '{"type": "ramfs", "target": "/a"}]}',
        '{"env": {"default": [], "untrusted": []}}',
    ],
)
def test_what_does_not_fail_later(patch: str) -> None:
    assert warnings(patch) == []


@pytest.mark.parametrize(
    ("patch", "hint"),
    [
        (
            '{"feature": null}',
            'Occlum wants it since version 0.30.1; the default is "feature": {"amx": 0, "pkru": 0, '
            '"io_uring": 0, "enable_edmm": false, "enable_posix_shm": false}',
        ),
        ('{"env": null}', 'the default is "env": {"default": ["OCCLUM=yes"], '),
        (
            '{"metadata": {"enable_kss": null}}',
            'Occlum wants it since version 0.26; the default is "enable_kss": false',
        ),
        (
            '{"resource_limits": {"max_num_of_threads": null}}',
            'the default is "max_num_of_threads": 32',
        ),
        ('{"mount": [{"type": "ramfs"}]}', ""),
    ],
)
def test_a_missing_key_has_its_default_in_the_hint(patch: str, hint: str) -> None:
    with pytest.raises(OcclumError) as error:
        warnings(patch)
    found = [one for one in error.value.problems if one.code == "config-missing-key"]
    assert found[0].hint.startswith(hint)
    assert bool(found[0].hint) == bool(hint)


@pytest.mark.parametrize(("patch", "edmm", "expected"), WARNINGS)
def test_what_fails_later(patch: str, edmm: bool, expected: str) -> None:
    assert warnings(patch, edmm=edmm) == expected.splitlines()
    document = merge(default_config(), parse_json(patch.encode(), "p"))
    with pytest.raises(OcclumError) as caught:
        check(document, edmm=edmm, strict=True)
    told = [f"{problem.place}: {problem.message}" for problem in caught.value.problems]
    assert told == expected.splitlines()


# The way to write one file for machines with EDMM and without, as Occlum documents it.
FOR_BOTH = (
    LIMITS + '"user_space_size": "1MB", "user_space_max_size": "600MB",\n'
    '"kernel_space_heap_size": "4MB", "kernel_space_heap_max_size": "40MB",\n'
    '"kernel_space_stack_size": "1MB", "init_num_of_threads": 2, "max_num_of_threads": 64}}'
)
NOTES = [
    (
        FOR_BOTH,
        False,
        "p:3:64: $.resource_limits.kernel_space_heap_max_size: without EDMM the heap has its "
        "maximum at once; kernel_space_heap_size, 4194304, counts with EDMM only\n"
        "p:4:58: $.resource_limits.init_num_of_threads: counts with EDMM only: without it all of "
        "max_num_of_threads are there at once",
    ),
    (
        FOR_BOTH,
        True,
        "p:2:51: $.resource_limits.user_space_max_size: "
        "629145600 bytes count without EDMM only: with EDMM it is at least 17179869184\n"
        "p:3:64: $.resource_limits.kernel_space_heap_max_size: "
        "41943040 bytes count without EDMM only: with EDMM it is at least 1073741824",
    ),
    (
        LIMITS + '"init_num_of_threads": 4}}',
        False,
        "p:2:25: $.resource_limits.init_num_of_threads: counts with EDMM only: without it all of "
        "max_num_of_threads are there at once",
    ),
]


@pytest.mark.parametrize(("patch", "edmm", "expected"), NOTES)
@pytest.mark.parametrize("strict", [False, True])
def test_one_file_for_machines_with_edmm_and_without_is_right(
    patch: str, edmm: bool, expected: str, strict: bool
) -> None:
    document = merge(default_config(), parse_json(patch.encode(), "p"))
    found = check(document, edmm=edmm, strict=strict).warnings
    assert [f"{one.place}: {one.message}" for one in found] == expected.splitlines()
    assert {(one.code, one.severity) for one in found} == {("config-edmm", NOTE)}


def test_a_mac_for_another_mount_is_fine() -> None:
    mac = "-".join(["+f", "0A", "000ff", *["1"] * 13])
    mount = f'{{"type": "sefs", "target": "/a", "source": "s", "options": {{"MAC": "{mac}"}}}}]}}'
    assert warnings(WITH_ROOT + mount) == []


@pytest.mark.parametrize(
    ("patch", "hint"),
    [
        ('{"mounts": 1}', "did you mean 'mount'?"),
        ('{"feature": {"zzz": 1}}', "known: amx, enable_edmm, enable_posix_shm, io_uring, pkru"),
        ('{"metadata": {"pkru": 1}}', "since Occlum 0.30.1 it is $.feature.pkru"),
        (
            '{"resource_limits": {"marshal_buffer_size": "1MB"}}',
            "only Occlum's HYPER build reads it",
        ),
    ],
)
def test_hints_for_unknown_keys(patch: str, hint: str) -> None:
    document = merge(default_config(), parse_json(patch.encode(), "p"))
    assert [warning.hint for warning in check(document).warnings] == [hint]


def test_values_are_shown_short_and_without_control_characters() -> None:
    patch = '{"process": {"default_heap_size": "\\u001b[31m\\u202e' + "x" * 1000 + '"}}'
    (warning,) = warnings(patch)
    assert "'\\x1b[31m\\u202exxx" in warning
    assert len(warning) < 200
