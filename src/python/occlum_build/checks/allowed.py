"""What a user has looked at and allows: codes of checks, `CODE` or `CODE: why`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from occlum_build.checks.codes import CODES
from occlum_build.errors import ERROR, NOTE, OcclumError, Problem

# An error of these is not what a check makes of something, but that it cannot be built.
_NEVER = ("bundle", "oci")


def parse_allowed(texts: Iterable[str]) -> dict[str, str]:
    """Code -> why. Raises OcclumError `allow` for a code that is not in CODES."""
    allowed: dict[str, str] = {}
    for text in texts:
        code, _, reason = (part.strip() for part in text.partition(":"))
        if code not in CODES:
            import difflib  # seldom needed, and long to import

            near = difflib.get_close_matches(code, CODES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/checks.md lists the codes"
            raise OcclumError("allow", f"{code!r} is not the code of a check", hint=hint)
        allowed[code] = reason
    return allowed


def without_allowed(problems: Iterable[Problem], allowed: Mapping[str, str]) -> list[Problem]:
    """The problems with one note in place of all that have a code which is allowed."""
    kept: list[Problem] = []
    counted: Counter[str] = Counter()
    for one in dict.fromkeys(problems):
        if one.code in allowed and not (one.code in _NEVER and one.severity == ERROR):
            counted[one.code] += 1
        else:
            kept.append(one)
    if counted:
        shown = ", ".join(
            f"{count} of {code}" + (f" ({allowed[code]})" if allowed[code] else "")
            for code, count in sorted(counted.items())
        )
        kept.append(Problem("allow", f"allowed and not shown: {shown}", severity=NOTE))
    return kept
