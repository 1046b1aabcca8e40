"""Properties of lock files: what is written is read as the same, and there is one text for it."""

from __future__ import annotations

import posixpath

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.sources.model import DIR, FIFO, FILE, SYMLINK
from occlum_build.sysroot.lock import Lock, Pin, read_lock, write_lock

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    pins = {"/": Pin("/", DIR)}
    for names in draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=6)):
        path = "/"
        for name in names:
            if pins[path].type != DIR:
                break
            path = posixpath.join(path, name)
            last = path == "/" + "/".join(names)
            if path not in pins:
                pins[path] = draw(pin_of(path)) if last else Pin(path, DIR)
    return Lock(pins)


def pin_of(path: str) -> st.SearchStrategy[Pin]:
    """Any pin that may stand at a path."""
    modes, owners = st.integers(0, 0o7777), st.just(("", "")) | st.tuples(TEXTS, TEXTS)
    return st.one_of(
        st.builds(lambda mode: Pin(path, DIR, mode, listing=True), modes),
        st.builds(lambda target: Pin(path, SYMLINK, target=target), TEXTS),
        st.builds(
            lambda mode, size, digest, elf, owner: Pin(
                path, FILE, mode, size, digest, elf, package=owner[0], version=owner[1]
            ),
            modes, st.integers(0, 1 << 60), DIGESTS, st.booleans(), owners,
        ),
        st.just(Pin(path, FILE)),
        st.just(Pin(path, FIFO)),
    )  # fmt: skip


@given(locks())
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_a_lock_file_is_read_as_what_was_written(lock: Lock) -> None:
    text = write_lock(lock)
    assert read_lock(text, "lock") == lock
    assert write_lock(read_lock(text, "lock")) == text
    assert write_lock(Lock(dict(reversed(lock.pins.items())))) == text
