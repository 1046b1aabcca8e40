"""What an input may cost."""

from __future__ import annotations

SECONDS_AN_INPUT = 20
MEMORY_BYTES = 2 << 30
SLOW_SECONDS = 2  # worth a look, and no failure
