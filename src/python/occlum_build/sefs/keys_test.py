from __future__ import annotations

import hashlib
import hmac
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs.keys import DerivedKeys, RandomKeys, UserKey, read_key_file

KEY = UserKey(bytes.fromhex("00112233445566778899aabbccddeeff"))
TEXT = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff"
NODE = memoryview(bytes(range(256)) * 16)


def write_key(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_metadata_key_of_the_format() -> None:
    key = KEY.metadata_key(bytes(range(32)))
    assert key.hex() == "3eb5502dfb00c8e9a0b65b461adecc5b"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_key_file(tmp_path: Path, end: str) -> None:
    path = write_key(tmp_path / "key", TEXT.upper() + end)
    assert read_key_file(path).fingerprint() == KEY.fingerprint()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_key_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "key", TEXT, mode)
    with pytest.raises(OcclumError) as caught:
        read_key_file(path)
    assert caught.value.code == "key-file-mode"
    assert read_key_file(path, allow_insecure=True).fingerprint() == KEY.fingerprint()


@pytest.mark.parametrize(
    "text",
    ["", TEXT[:-3], TEXT + "-00", TEXT.replace("-", ""), TEXT.replace("11", "1g"), " " + TEXT],
)
def test_bad_key_file_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = write_key(tmp_path / "key", text)
    with pytest.raises(OcclumError) as caught:
        read_key_file(path)
    assert caught.value.code == "key-file-format"
    assert "22" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_text_of_a_key_file_is_kept_as_it_is(tmp_path: Path, end: str) -> None:
    text = TEXT.upper() + end
    with read_key_file(write_key(tmp_path / "key", text)) as key:
        assert key.file_text() == text.encode()


def test_key_of_another_fingerprint_is_refused(tmp_path: Path) -> None:
    path = write_key(tmp_path / "key", TEXT)
    assert read_key_file(path, fingerprint=KEY.fingerprint()).fingerprint() == KEY.fingerprint()
    for fingerprint in ("", "0" * 32, UserKey(bytes(16)).fingerprint()):
        with pytest.raises(OcclumError) as caught:
            read_key_file(path, fingerprint=fingerprint)
        assert caught.value.code == "key-file-changed"
        assert KEY.fingerprint() not in str(caught.value)


def test_wiped_key_is_gone_and_cannot_be_used() -> None:
    value, text = bytearray(b"k" * 16), bytearray(b"text")
    with UserKey(value, text) as key:
        held = key._value, key._text
    assert held == (bytes(16), bytes(4))
    uses: list[Callable[[], object]] = [
        key.fingerprint,
        lambda: key.metadata_key(bytes(32)),
        lambda: key.image_key(b""),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="wiped"):
            use()
    assert key.file_text() == b""


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/tmp"])
def test_key_file_that_is_no_file(path: str) -> None:
    with pytest.raises(OcclumError, match="not a regular file"):
        read_key_file(Path(path), allow_insecure=True)


def test_key_file_that_nobody_writes_to_or_that_is_large(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(OcclumError, match="not a regular file"):
        read_key_file(tmp_path / "fifo")
    with pytest.raises(OcclumError, match="more than the 1 KiB that are allowed"):
        read_key_file(write_key(tmp_path / "large", TEXT + "\n" * 1000))


def test_missing_key_file(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        read_key_file(tmp_path / "key")
    assert caught.value.code == "sefs-io"
    assert caught.value.problems[0].place is not None


def test_key_is_hidden() -> None:
    assert repr(KEY) == str(KEY) == f"{KEY}" == "UserKey(hidden)"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    with pytest.raises(ValueError, match="16 bytes"):
        UserKey(b"short")


def test_fingerprint_tells_keys_apart() -> None:
    assert KEY.fingerprint() != UserKey(bytes(16)).fingerprint()
    assert len(KEY.fingerprint()) == 32


def test_derivation_is_the_documented_one() -> None:
    salt, name = hashlib.sha256(b"manifest").digest(), b"02000000000000000000000000000000"
    user_key = bytes.fromhex(TEXT.replace("-", ""))
    image_key = hmac.digest(user_key, b"occlum-build sefs node keys v1\0" + salt, "sha256")
    file_key = hmac.digest(image_key, name, "sha256")
    keys = DerivedKeys(KEY, salt).for_file(name)
    expected = hmac.digest(file_key, struct.pack("<Q", 7) + NODE.tobytes(), "sha256")[:16]
    assert keys.node_keys([memoryview(bytes(4096)), NODE], 6)[1] == expected
    part = bytes(3392)
    assert keys.key_id(part) == hmac.digest(file_key, struct.pack("<Q", 0) + part, "sha256")


def test_every_input_changes_the_derived_key() -> None:
    other = bytes(NODE[:-1]) + b"x"
    keys = [
        DerivedKeys(KEY, b"s").for_file(b"f").node_keys([NODE], 1)[0],
        DerivedKeys(UserKey(bytes(16)), b"s").for_file(b"f").node_keys([NODE], 1)[0],
        DerivedKeys(KEY, b"t").for_file(b"f").node_keys([NODE], 1)[0],
        DerivedKeys(KEY, b"s").for_file(b"g").node_keys([NODE], 1)[0],
        DerivedKeys(KEY, b"s").for_file(b"f").node_keys([NODE], 2)[0],
        DerivedKeys(KEY, b"s").for_file(b"f").node_keys([memoryview(other)], 1)[0],
    ]
    assert len(set(keys)) == len(keys)


def test_random_keys_do_not_repeat() -> None:
    keys = RandomKeys().for_file(b"f")
    one, other = keys.node_keys([NODE, NODE], 1)
    assert one != other
    assert keys.key_id(b"") != keys.key_id(b"")
    assert (len(one), len(keys.key_id(b""))) == (16, 32)
