"""Signatures that are read from sources, on a made-up package."""

from __future__ import annotations

from pathlib import Path

import pytest

from pants_signatures import Sources

FILES = {
    "pants/__init__.py": "",
    "pants/engine/native.pyi": """
from typing import Any, overload
class Digest:
    def __init__(self, fingerprint: str, size: int = ...) -> None: ...
class FrozenDict:
    @overload
    def __new__(cls, **kwargs: Any) -> FrozenDict: ...
    @overload
    def __new__(cls, items: Any) -> FrozenDict: ...
""",
    "pants/engine/fs.py": """
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar
import sys
from pants.engine import native, names
from pants.engine.native import FrozenDict as Frozen
T = TypeVar("T")
Digest = native.Digest
EMPTY = Digest("", 0)
class Marker: ...
class Names(tuple[str, ...]): ...
@dataclass(frozen=True)
class Base(Generic[T]):
    kind: ClassVar[str] = "x"
    one: int
    hidden: int = field(init=False)
@dataclass
class Derived(Base[int], Marker):
    two: int = 2
    three: list = field(default_factory=list)
    @classmethod
    def make(cls, one: int, *more: int) -> "Derived": ...
    @staticmethod
    def of(text: str, /, *, strict: bool, mode: str = "") -> "Derived": ...
    @property
    def size(self) -> int: ...
if sys.version_info >= (3, 11):
    def chosen(a, b=1, **options): ...
else:
    def chosen(): ...
""",
    "pants/engine/names.py": "def module(): ...\nasync def again(x): ...\nagain_ = again",
    "pants/engine/user.py": """
from typing import overload
from pants.engine.fs import Base, Derived as D, Frozen
@overload
def rule(one: int) -> int: ...
@overload
def rule(one: str) -> str: ...
def rule(*args, **kwargs): ...
""",
}


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(tmp_path)


@pytest.mark.parametrize(
    ("symbol", "signature"),
    [
        ("fs", None),
        ("fs.Digest", "(fingerprint, size=...)"),
        ("fs.EMPTY", None),
        ("fs.EMPTY.size", None),
        ("fs.Marker", "()"),
        ("fs.Names", None),
        ("fs.Names.count", None),
        ("fs.Base", "(one)"),
        ("fs.Derived", "(one, two=..., three=...)"),
        ("fs.Derived.make", "(one, *more)"),
        ("fs.Derived.of", "(text, /, *, strict, mode=...)"),
        ("fs.Derived.size", None),
        ("fs.Derived.kind", None),
        ("fs.chosen", "(a, b=..., **options)"),
        ("fs.Frozen", None),
        ("names.again", "(x)"),
        ("names.again_", "(x)"),
        ("user.D", "(one, two=..., three=...)"),
        ("user.rule", "(*args, **kwargs)"),
    ],
)
def test_signatures(sources: Sources, symbol: str, signature: str | None) -> None:
    assert sources.signature(f"pants.engine.{symbol}") == signature


@pytest.mark.parametrize(
    "symbol", ["fs.Nothing", "nowhere", "nowhere.Thing", "fs.Derived.nothing", "user.Nothing"]
)
def test_what_is_not_there(sources: Sources, symbol: str) -> None:
    with pytest.raises(LookupError):
        sources.signature(f"pants.engine.{symbol}")
