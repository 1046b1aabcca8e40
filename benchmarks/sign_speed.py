"""Measures signing: Occlum's default configuration, EDMM, and 16 GiB of reserved memory.

The goal is less than 0.25 s for the default configuration; the second one is 4.2 million EADD
records. The figures are the best of three runs.
"""

from __future__ import annotations

import time
from pathlib import Path

from occlum_build.sgx.sign import sign
from tables import Column, Table, options, report

CONFIGS = {
    "Occlum's default": "occlum_default",
    "EDMM": "occlum_edmm",
    "16 GiB reserved memory (4.2 million pages)": "occlum_edmm_userfix",
}
COLUMNS = (Column("configuration"), Column("time", "{:.2f} s"))

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
    args = options(__doc__).parse_args()
    rows = tuple((label, best_seconds(config)) for label, config in CONFIGS.items())
    report([Table("sign-speed", COLUMNS, rows)], args.json)


if __name__ == "__main__":
    main()
