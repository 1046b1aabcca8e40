"""A worker of a remote execution server, for tests; BuildGrid, whose modules it uses, has none.

    worker.py ADDRESS NAME FOLDER

It leases one action at a time (the Bots API), runs it in a directory of its own below FOLDER, and
sends what that made. FOLDER/log gets a JSON line when it begins, when an action is leased and when
one has ended.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Where it runs, in BuildGrid's environment, they are there.
import grpc  # type: ignore[import-not-found,import-untyped,unused-ignore]  # pants: no-infer-dep
from buildgrid._protos.build.bazel.remote.execution.v2 import (  # type: ignore[import-not-found,unused-ignore]  # pants: no-infer-dep
    remote_execution_pb2 as execution,
)
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import (  # type: ignore[import-not-found,unused-ignore]  # pants: no-infer-dep
    bots_pb2 as bots,
)
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import (  # type: ignore[import-not-found,unused-ignore]  # pants: no-infer-dep
    bots_pb2_grpc,
    worker_pb2,
)
from buildgrid._protos.google.rpc import (  # type: ignore[import-not-found,unused-ignore]  # pants: no-infer-dep
    code_pb2,
)
from buildgrid.server.client import (  # type: ignore[import-not-found,unused-ignore]  # pants: no-infer-dep
    cas,
)

INSTANCE = ""
# As the server waits for work at most so long, and longer than that for a sign of life.
CALL_SECONDS = 20
BEAT_SECONDS = 1
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
NOT_FOUND = 127


class Running:
    """An action on its way, in a thread of its own; `status` and `result` are set at its end."""

    def __init__(self, worker: Worker, payload: Any) -> None:
        self.status = code_pb2.OK
        self.message = ""
        self.result: Any = None
        self._worker, self._payload = worker, payload
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def has_ended(self) -> bool:
        """Waits for a moment."""
        self._thread.join(BEAT_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.result = self._worker.execute(self._payload)
        except Exception as error:
            self.status, self.message = code_pb2.INTERNAL, repr(error)


class Worker:
    """A worker of the server behind `channel`; `folder` holds its log and its sandboxes."""

    def __init__(self, channel: grpc.Channel, name: str, folder: Path) -> None:
        self.channel, self.name, self.folder = channel, name, folder
        self._bots = bots_pb2_grpc.BotsStub(channel)

    def serve(self) -> None:
        """Work until this process is killed."""
        self._log(event="ready")
        devices = worker_pb2.Worker(devices=[worker_pb2.Device(handle=self.name)])
        session = bots.BotSession(bot_id=self.name, status=bots.OK, worker=devices)
        request = bots.CreateBotSessionRequest(parent=INSTANCE, bot_session=session)
        session = self._bots.CreateBotSession(request, timeout=CALL_SECONDS)
        running: dict[str, Running] = {}
        while True:
            running = {
                lease.id: running.get(lease.id) or Running(self, lease.payload)
                for lease in session.leases
                if lease.state == bots.ACTIVE
            }
            for lease in session.leases:
                one = running.get(lease.id)
                if one is not None and one.has_ended():
                    lease.state = bots.COMPLETED
                    lease.status.code, lease.status.message = one.status, one.message
                    if one.result is not None:
                        lease.result.Pack(one.result)
            request = bots.UpdateBotSessionRequest(name=session.name, bot_session=session)
            session = self._bots.UpdateBotSession(request, timeout=CALL_SECONDS)

    def execute(self, payload: Any) -> Any:
        """The ActionResult of an Action, or of the digest of one."""
        action = execution.Action()
        with cas.download(self.channel, INSTANCE) as blobs:
            if not payload.Unpack(action):
                digest = execution.Digest()
                payload.Unpack(digest)
                action = blobs.get_message(digest, execution.Action())
            command = blobs.get_message(action.command_digest, execution.Command())
            argv = list(command.arguments)
            self._log(event="leased", argv=argv)
            sandbox = tempfile.mkdtemp(dir=self.folder)
            try:
                blobs.download_directory(action.input_root_digest, sandbox)
                return self._run(action, command, Path(sandbox, command.working_directory))
            finally:
                shutil.rmtree(sandbox, ignore_errors=True)

    def _run(self, action: Any, command: Any, folder: Path) -> Any:
        argv = list(command.arguments)
        outputs = [*command.output_paths] or [*command.output_files, *command.output_directories]
        for output in outputs:
            (folder / output).parent.mkdir(parents=True, exist_ok=True)
        limit = action.timeout.ToTimedelta().total_seconds() if action.HasField("timeout") else None
        result = execution.ActionResult()
        try:
            done = subprocess.run(
                argv,
                cwd=folder,
                env={one.name: one.value for one in command.environment_variables},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit,
            )
            result.exit_code, stdout, stderr = done.returncode, done.stdout, done.stderr
        except OSError as error:
            result.exit_code, stdout, stderr = NOT_FOUND, b"", str(error).encode()
        with cas.upload(self.channel, INSTANCE) as blobs:
            for name in outputs:
                path = folder / name
                if path.is_dir():
                    tree = blobs.upload_tree(str(path), queue=False)
                    result.output_directories.add(path=name, tree_digest=tree)
                elif path.is_file():
                    digest = blobs.upload_file(str(path), queue=False)
                    is_executable = os.access(path, os.X_OK)
                    result.output_files.add(path=name, digest=digest, is_executable=is_executable)
            result.stdout_digest.CopyFrom(blobs.put_blob(io.BytesIO(stdout)))
            result.stderr_digest.CopyFrom(blobs.put_blob(io.BytesIO(stderr)))
        self._log(event="ran", argv=argv, exit_code=result.exit_code, inputs=sorted(_top(folder)))
        return result

    def _log(self, **record: Any) -> None:
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")


def _top(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir())


def main() -> None:
    address, name, folder = sys.argv[1:]
    channel = grpc.insecure_channel(address, options=UNLIMITED)
    Worker(channel, name, Path(folder)).serve()


if __name__ == "__main__":
    main()
