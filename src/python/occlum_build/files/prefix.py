"""How names of what a run makes on the way begin; whatever is called so is ours to remove."""

from __future__ import annotations

PREFIX = ".occlum-build-"
