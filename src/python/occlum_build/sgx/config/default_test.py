from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.config import check, default_config, merge, parse_json
from occlum_build.sgx.config.default import DEFAULT_NAME
from occlum_build.sgx.config.jsontext import Object, plain


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ('{"a":"b"}', '{"a":"c"}', {"a": "c"}),
        ('{"a":"b"}', '{"b":"c"}', {"a": "b", "b": "c"}),
        ('{"a":"b"}', '{"a":null}', {}),
        ('{"a":"b","b":"c"}', '{"a":null}', {"b": "c"}),
        ('{"a":["b"]}', '{"a":"c"}', {"a": "c"}),
        ('{"a":"c"}', '{"a":["b"]}', {"a": ["b"]}),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', {"a": {"b": "d"}}),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', {"a": [1]}),
        ('["a","b"]', '["c","d"]', ["c", "d"]),
        ('{"a":"b"}', '["c"]', ["c"]),
        ('{"a":"foo"}', "null", None),
        ('{"a":"foo"}', '"bar"', "bar"),
        ('{"e":null}', '{"a":1}', {"e": None, "a": 1}),
        ("[1,2]", '{"a":"b","c":null}', {"a": "b"}),
        ("{}", '{"a":{"bb":{"ccc":null}}}', {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(base: str, patch: str, result: object) -> None:
    merged = merge(parse_json(base.encode(), "base"), parse_json(patch.encode(), "patch"))
    assert plain(merged) == result


def test_values_keep_their_places_and_repeated_keys_are_kept() -> None:
    patch = parse_json(b'{"env": 1,\n "env": {},\n "metadata": {"product_id": 7}}', "patch")
    merged = merge(default_config(), patch)
    assert isinstance(merged, Object)
    assert [key.name for key in merged.repeated] == ["env"]
    metadata = merged.get("metadata")
    assert isinstance(metadata, Object)
    places = {name: metadata.get(name) for name in ("product_id", "version_number")}
    assert {name: node.place.file for name, node in places.items() if node} == {
        "product_id": "patch",
        "version_number": DEFAULT_NAME,
    }


def test_a_patch_makes_a_whole_configuration() -> None:
    patch = parse_json(b'{"resource_limits": {"user_space_size": "1GB"}}', "patch")
    checked = check(merge(default_config(), patch), strict=True)
    assert checked.settings.user_space.reserved == 1 << 30
    assert checked.settings.heap.init == 32 << 20


def test_errors_name_the_patch() -> None:
    patch = parse_json(b'{"env": null,\n "mount": [\n  {"type": "unionfs"}]}', "app/patch.json")
    with pytest.raises(OcclumError) as caught:
        check(merge(default_config(), patch))
    assert [f"{one.place}: {one.message}" for one in caught.value.problems] == [
        "app/patch.json:1:1: $.env: the key is missing",
        "app/patch.json:3:3: $.mount[0].target: the key is missing",
    ]
