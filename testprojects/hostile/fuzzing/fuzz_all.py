"""Fuzz every reader, six at a time: `fuzz_all.py SECONDS DIRECTORY`; exit code 1 for any find."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostile.fuzzing.readers import READERS

_AT_A_TIME = 6


def main() -> int:
    seconds, directory = sys.argv[1], Path(sys.argv[2])

    def fuzz(reader: str) -> bool:
        script = str(Path(__file__).with_name("fuzz.py"))
        command = [sys.executable, script, reader, seconds, str(directory / reader)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        return done.returncode == 0

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return 0 if all(list(pool.map(fuzz, READERS))) else 1


if __name__ == "__main__":
    sys.exit(main())
