"""A tool that both images carry, built by Pants as one file."""

from __future__ import annotations

import platform


def main() -> None:
    print(f"tool on {platform.machine()}")


if __name__ == "__main__":
    main()
