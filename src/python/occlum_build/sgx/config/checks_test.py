"""Every check that makes an error, with the line, column and JSON path that it names."""

from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.config import check, default_config, merge, parse_json

LIMITS = '{"resource_limits": {\n '
METADATA = '{"metadata": {\n '
MOUNT = '{"mount": [\n '
ROOT = (
    '{"type": "unionfs", "target": "/", "options": {"layers": ['
    '{"type": "sefs", "target": "/", "options": {"MAC": ""}}, {"type": "sefs", "target": "/"}]}}'
)
WITH_ROOT = f'{{"mount": [{ROOT},\n '


def errors(patch: str, *, edmm: bool = False) -> list[str]:
    document = merge(default_config(), parse_json(patch.encode(), "p"))
    with pytest.raises(OcclumError) as caught:
        check(document, edmm=edmm)
    return [f"{problem.place}: {problem.message}" for problem in caught.value.problems]


ERRORS = [
    ("[]", False, "p:1:1: $: expected an object, found a list"),
    ('{"metadata": null}', False, "p:1:1: $.metadata: the key is missing"),
    ('{"metadata": []}', False, "p:1:14: $.metadata: expected an object, found a list"),
    ('{"mount": {}}', False, "p:1:11: $.mount: expected a list, found an object"),
    ('{"mount": [7]}', False, "p:1:12: $.mount[0]: expected an object, found the number 7"),
    (
        METADATA + '"product_id": 1e0}}',
        False,
        "p:2:16: $.metadata.product_id: "
        "expected a whole number from 0 to 4294967295, found the number 1e0",
    ),
    (
        METADATA + '"version_number": 4294967296}}',
        False,
        "p:2:20: $.metadata.version_number: "
        "expected a whole number from 0 to 4294967295, found the number 4294967296",
    ),
    (
        METADATA + '"debuggable": "no"}}',
        False,
        "p:2:16: $.metadata.debuggable: expected true or false, found the string 'no'",
    ),
    (
        METADATA + '"disable_log": 0}}',
        False,
        "p:2:17: $.metadata.disable_log: expected true or false, found the number 0",
    ),
    (
        METADATA + '"enable_kss": true, "family_id": {"high": "0x0x0xg"}}}',
        False,
        "p:2:44: $.metadata.family_id.high: '0x0x0xg' is not a 64-bit hexadecimal number",
    ),
    (
        METADATA + '"enable_kss": 1, "family_id": {"high": 5}}}',
        False,
        "p:2:16: $.metadata.enable_kss: expected true or false, found the number 1\n"
        "p:2:41: $.metadata.family_id.high: expected a string, found the number 5",
    ),
    (
        METADATA + '"product_id": 1,\n "product_id": 2}}',
        False,
        "p:3:2: $.metadata.product_id: the key is given more than once",
    ),
    (
        LIMITS + '"kernel_space_stack_size": "1M"}}',
        False,
        "p:2:29: $.resource_limits.kernel_space_stack_size: '1M' is not a size",
    ),
    (
        LIMITS + '"kernel_space_heap_max_size": "x", "kernel_space_heap_size": ""}}',
        True,
        "p:2:32: $.resource_limits.kernel_space_heap_max_size: 'x' is not a size\n"
        "p:2:63: $.resource_limits.kernel_space_heap_size: '' is not a size",
    ),
    (
        LIMITS + '"init_num_of_threads": 4097}}',
        True,
        "p:2:25: $.resource_limits.init_num_of_threads: "
        "4097 is more than the maximum, which is 4096 with EDMM",
    ),
    (
        LIMITS + '"kernel_space_heap_size": "3GB", "kernel_space_heap_max_size": "2GB"}}',
        True,
        "p:2:65: $.resource_limits.kernel_space_heap_max_size: "
        "the maximum, 2147483648 bytes, is less than kernel_space_heap_size, 3221225472 bytes",
    ),
    (
        LIMITS + '"user_space_max_size": "1MB"}}',
        False,
        "p:2:25: $.resource_limits.user_space_max_size: "
        "the maximum, 1048576 bytes, is less than user_space_size, 314572800 bytes",
    ),
    (
        LIMITS + '"user_space_max_size": "18446744073709551615B"}}',
        True,
        "p:2:25: $.resource_limits.user_space_max_size: "
        "with 1 GiB more for EDMM, 18446744073709551615 bytes are more than 2^64-1",
    ),
    (
        WITH_ROOT + '{"type": "sefs", "target": "/a", "options": {"cache_size": "100001B"}}]}',
        False,
        "p:2:61: $.mount[1].options.cache_size: "
        "100001 bytes are less than the minimum, 196608 (48 pages)\n"
        "p:2:61: $.mount[1].options.cache_size: "
        "100001 bytes are not a multiple of the page size, 4096",
    ),
    (
        WITH_ROOT + '{"type": "sefs", "target": "/a", "options": {"cache_size": "33MB"}}]}',
        False,
        "p:2:61: $.mount[1].options.cache_size: "
        "34603008 bytes are more than the libOS's heap, which is at most 33554432",
    ),
    (
        WITH_ROOT + '{"type": "ext2", "target": "/a"}]}',
        False,
        "p:2:2: $.mount[1].options.disk_size: "
        "an ext2 mount needs a disk_size of at least 5368709120 bytes",
    ),
    (
        WITH_ROOT + '{"type": "ext2", "target": "/a", "options": {"disk_size": "4GB"}}]}',
        False,
        "p:2:60: $.mount[1].options.disk_size: "
        "4294967296 bytes are less than the minimum, 5368709120 (5GB)",
    ),
    (
        '{"mount": []}',
        False,
        'p:1:11: $.mount: there is no mount of type "unionfs" with the target "/"',
    ),
    (
        MOUNT + '{"type": "unionfs", "target": "/", "options": {"layers": null}}]}',
        False,
        "p:2:59: $.mount[0].options.layers: the root unionfs has no layers",
    ),
    (
        MOUNT + '{"type": "unionfs", "target": "/", "options": {"layers": []}}]}',
        False,
        "p:2:59: $.mount[0].options.layers: "
        'no layer is the image: of type "sefs", with the target "/" and a MAC',
    ),
]


@pytest.mark.parametrize(("patch", "edmm", "expected"), ERRORS)
def test_mistakes(patch: str, edmm: bool, expected: str) -> None:
    assert errors(patch, edmm=edmm) == expected.splitlines()


def test_all_problems_are_in_one_report() -> None:
    patch = """{"resource_limits": {"user_space_size": "1", "max_num_of_threads": -1},
        "process": {"default_heap_size": 1},
        "feature": {"amx": true},
        "mount": [{"type": "unionfs", "target": 1}]}"""
    paths = [line.split(": ")[1] for line in errors(patch)]
    assert paths == [
        "$.resource_limits.user_space_size",
        "$.resource_limits.max_num_of_threads",
        "$.process.default_heap_size",
        "$.feature.amx",
        "$.mount[0].target",
    ]


def test_mounts_nest_as_deep_as_the_reader_allows() -> None:
    mount = '{"type": "sefs", "target": "/"}'
    for _ in range(40):
        mount = f'{{"type": "unionfs", "target": "/", "options": {{"layers": [{mount}]}}}}'
    assert errors(f'{{"mount": [{mount}]}}')[0].endswith('with the target "/" and a MAC')
