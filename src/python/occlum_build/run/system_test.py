from __future__ import annotations

import os

from occlum_build.run.system import end_with_parent


def test_a_process_ends_whose_parent_had_gone_before() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        gone = os.getpid()
        try:
            if os.fork() == 0:
                while os.getppid() == gone:
                    pass
                end_with_parent(gone)
                os.write(writing, b"went on")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(parent, 0)
    assert os.read(reading, 64) == b""
    os.close(reading)
