"""Runs in a process of `fuzz.py`: `fuzz_target.py READER FINDS LIBFUZZER_ARGUMENT...`.

An input that makes the reader raise anything but OcclumError is written to the directory FINDS, one
for each kind, and fuzzing goes on. libFuzzer itself ends the process at an input that takes too
long or too much memory, and leaves it there too.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
import shlex
import sys
import time
import traceback
from pathlib import Path

import atheris  # pants: no-infer-dep

from hostile.fuzzing.limits import MEMORY_BYTES, SLOW_SECONDS
from hostile.fuzzing.mutations import mutate_json

_PACKAGES = ["elftools", "occlum_build", "pants_occlum", "tarfile", "zipfile"]


def main() -> None:
    name, finds = sys.argv[1], Path(sys.argv[2])
    with atheris.instrument_imports(include=_PACKAGES):
        from hostile.fuzzing.readers import JSON_READERS, READERS
        from occlum_build.errors import OcclumError

        reader, kinds = READERS[name], set()
        with contextlib.suppress(OcclumError):
            reader(b"")  # what is imported when it is used

    def run(data: bytes) -> None:
        start = time.monotonic()
        try:
            reader(data)
        except OcclumError:
            pass
        except Exception as error:  # whatever it is, it is what is looked for
            kind = kind_of(error)
            if kind not in kinds:
                kinds.add(kind)
                save(finds, "crash", kind, data)
        if time.monotonic() - start > SLOW_SECONDS:
            save(finds, "slow", f"{time.monotonic() - start:.0f} s", data)

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    mutator = {"custom_mutator": mutate} if name in JSON_READERS else {}
    # libFuzzer starts itself again by what it takes for its name, by a shell, to merge.
    command = shlex.join([sys.executable, *sys.argv[:3]])
    atheris.Setup([command, *sys.argv[3:]], run, **mutator)
    atheris.Fuzz()


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """As JSON two times of three, else as libFuzzer does."""
    changed = mutate_json(data, seed) if seed % 3 else data
    if changed != data and len(changed) <= max_size:
        return changed
    found: bytes = atheris.Mutate(data, max_size)
    return found


def kind_of(error: Exception) -> str:
    """What was raised, and where in the code of the project."""
    frames = traceback.extract_tb(error.__traceback__)
    inner = [one for one in frames if "occlum" in one.filename.rpartition("site-packages")[2]]
    last = (inner or frames)[-1]
    return f"{type(error).__name__} at {'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"


def save(finds: Path, what: str, kind: str, data: bytes) -> None:
    name = f"{what}-{hashlib.sha256(data).hexdigest()[:16]}"
    (finds / name).write_bytes(data)
    print(f"FIND {what} {kind}: {name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
