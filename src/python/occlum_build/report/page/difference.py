"""What the page shows of the difference to an earlier image."""

from __future__ import annotations

from typing import Any

from occlum_build.report.diff import Difference
from occlum_build.report.diff_output import by_cause, counts, mrenclave, what_changed
from occlum_build.shown import escaped


def difference_json(found: Difference) -> dict[str, Any]:
    """Its causes with all entries, and what becomes of MRENCLAVE; images are not named."""
    return {
        "summary": counts(found.changes) if found.changes else "no entry changed",
        "mrenclave": escaped(mrenclave(found)),
        "inputs": [escaped(str(one)) for one in found.inputs],
        "causes": [
            {
                "text": escaped(cause.text),
                "counts": counts(changes),
                "changes": [
                    [one.kind, escaped(one.path), escaped(what_changed(one))] for one in changes
                ],
            }
            for cause, changes in by_cause(found)
        ],
    }
