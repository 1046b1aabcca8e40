"""Prints how long signing takes: Occlum's default configuration, and 16 GiB of reserved memory.

Run: PYTHONPATH=src/python python benchmarks/sign_speed.py
The goal is less than 0.25 s for the default configuration; the second one is 4.2 million EADD
records. The figures are the best of three runs.
"""

from __future__ import annotations

import time
from pathlib import Path

from occlum_build.sgx.sign import sign

VECTORS = Path(__file__).resolve().parent.parent / "testprojects" / "vectors" / "sign"


def best_seconds(config: str) -> float:
    """The shortest of three times of signing with this configuration, in seconds."""
    enclave = (VECTORS / "enc_mini.so").read_bytes()
    xml = (VECTORS / "xml" / f"{config}.xml").read_bytes()
    key = (VECTORS / "test_key.pem").read_bytes()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        sign(enclave, xml, key)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    for config in ("occlum_default", "occlum_edmm", "occlum_edmm_userfix"):
        print(f"{config:22} {best_seconds(config):.3f} s")


if __name__ == "__main__":
    main()
