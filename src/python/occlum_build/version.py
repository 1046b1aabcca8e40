"""The version, for those who ask for it: no identity, digest or cache key has it.

Only the commands import it, as the sources of what runs as a process are part of its key.
"""

from __future__ import annotations

VERSION = "0.1.0.dev0"
