"""What a user has looked at and allows: codes of checks, `CODE` or `CODE: why`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from occlum_build.checks.codes import CODES
from occlum_build.errors import ERROR, NOTE, OcclumError, Problem
from occlum_build.shown import quoted

# An image with such an error cannot be written, and there are no warnings of them.
_NEVER = ("name-too-long",)
# Errors of these are not what a check makes of something, but that it cannot be built.
_ERRORS_STAY = ("bundle", "oci")


def parse_allowed(texts: Iterable[str]) -> dict[str, str]:
    """Code -> why. Raises OcclumError `allow` for what is no code, or cannot be allowed."""
    allowed: dict[str, str] = {}
    for text in texts:
        code, _, reason = (part.strip() for part in text.partition(":"))
        if code not in CODES:
            import difflib  # seldom needed, and long to import

            near = difflib.get_close_matches(code, CODES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/checks.md lists the codes"
            raise OcclumError("allow", f"{quoted(code)} is not the code of a check", hint=hint)
        if code in _NEVER:
            hint = f"it is no judgement of a check, but cannot be built: {CODES[code]}"
            raise OcclumError("allow", f"{quoted(code)} cannot be allowed", hint=hint)
        allowed[code] = reason
    return allowed


def sort_out(
    problems: Iterable[Problem], allowed: Mapping[str, str]
) -> tuple[list[Problem], list[Problem]]:
    """The errors, and what else is to be told: each once, and a note of all that is allowed."""
    errors: list[Problem] = []
    told: list[Problem] = []
    counted: Counter[str] = Counter()
    for one in dict.fromkeys(problems):
        is_error = one.severity == ERROR
        if one.code in allowed and not (is_error and one.code in _ERRORS_STAY):
            counted[one.code] += 1
        else:
            (errors if is_error else told).append(one)
    if counted:
        shown = ", ".join(
            f"{count} of {code}" + (f" ({allowed[code]})" if allowed[code] else "")
            for code, count in sorted(counted.items())
        )
        told.append(Problem("allow", f"allowed and not shown: {shown}", severity=NOTE))
    return errors, told
