"""How the processes of a run tell ours of what comes of it, also after a detour."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from occlum_build.run.spec import RootSpec


@dataclass(frozen=True)
class Channel:
    """How the processes tell ours of problems and of a value, a JSON document a line.

    `ignored` are the signals that programs are to ignore, `held` those that they are to hold back,
    `first` is the number of our process.
    """

    descriptor: int
    first: int
    ignored: frozenset[int]
    held: frozenset[int]

    def to_json(self) -> dict[str, Any]:
        signals = {"ignored": sorted(self.ignored), "held": sorted(self.held)}
        return {"descriptor": self.descriptor, "first": self.first, **signals}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Channel:
        signals = (frozenset(value[name]) for name in ("ignored", "held"))
        return cls(value["descriptor"], value["first"], *signals)

    def tell(self, **told: Any) -> None:
        data = json.dumps(told).encode() + b"\n"
        while data:
            data = data[os.write(self.descriptor, data) :]


class Detour(Protocol):
    """Has the second process go on as another program, as one that is traced."""

    def become(self, spec: RootSpec, folder: str, channel: Mapping[str, Any]) -> None:
        """In the second process: execute what calls `take_over`. Returns where it cannot."""

    def started(self, pid: int) -> None:
        """In our process, when that has been started."""
