from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from pants_occlum.util_rules import hash_memo


def test_memo_spares_reading_only_settled_files(tmp_path: Path) -> None:
    settled, fresh = tmp_path / "settled", tmp_path / "fresh"
    settled.write_bytes(b"1")
    time.sleep(2.1)  # ctime cannot be set back
    fresh.write_bytes(b"2")
    store = tmp_path / "memo/sha256.json"
    memo = hash_memo.HashMemo(str(store))
    first = [memo.read(str(path)) for path in (settled, fresh)]
    memo.save()
    again = hash_memo.HashMemo(str(store))
    assert again.known(str(settled), settled.lstat()) == first[0]
    assert again.known(str(fresh), fresh.lstat()) is None
    assert list(json.loads(store.read_bytes().split(b"\n")[1])["rows"]) == [str(settled)]
    again.forget(str(settled))
    assert again.known(str(settled), settled.lstat()) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\n\xff", None])
def test_damaged_memo_counts_as_empty(tmp_path: Path, damage: bytes | None) -> None:
    body = json.dumps({"version": 1, "rows": {"/f": [1, 2, 3, 4, 5, "00", True]}}).encode()
    intact = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    store = tmp_path / "memo"
    store.write_bytes(intact)
    assert list(hash_memo.HashMemo(str(store))._rows) == ["/f"]
    store.write_bytes(intact.replace(b'"00"', b'"01"') if damage is None else damage)
    assert hash_memo.HashMemo(str(store))._rows == {}


def test_memo_is_bounded_and_drops_what_was_used_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_memo, "MAX_ROWS", 2)
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
        memo.read(str(tmp_path / name))
    memo.known(str(tmp_path / "a"), (tmp_path / "a").lstat())
    memo.save()
    kept = hash_memo.HashMemo(str(tmp_path / "memo"))._rows
    assert list(kept) == [str(tmp_path / "c"), str(tmp_path / "a")]
