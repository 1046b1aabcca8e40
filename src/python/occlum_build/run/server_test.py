from __future__ import annotations

import socket
import threading
from pathlib import Path

from occlum_build.run import server


def test_a_service_that_does_not_accept_is_not_ready(tmp_path: Path) -> None:
    wanted = f"unix:{tmp_path}/socket"
    assert not server._is_ready(wanted)
    found: list[bool] = []
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as waiting:
        listening.bind(f"{tmp_path}/socket")
        listening.listen(0)
        assert server._is_ready(wanted)
        listening.accept()[0].close()
        waiting.connect(f"{tmp_path}/socket")  # nobody else may wait now
        asks = threading.Thread(target=lambda: found.append(server._is_ready(wanted)), daemon=True)
        asks.start()
        asks.join(60)
    assert found == [False]
