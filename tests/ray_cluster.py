"""A Ray cluster of this machine: a head node with two CPUs, in processes that the tests start and end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support import ROOT, free_port

_START = 120.0  # seconds


class Cluster:
    """It is ended by `close`.  Its workers import what the tests import."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="ray")  # a short path, since it holds sockets
        port, client = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.client_address = f"ray://127.0.0.1:{client}"
        options = {
            "port": port,
            "ray-client-server-port": client,
            "node-ip-address": "127.0.0.1",
            "num-cpus": 2,
            "object-store-memory": 80_000_000,
            "include-dashboard": "false",
            "min-worker-port": 0,  # any free one
            "max-worker-port": 0,
            "temp-dir": self._folder,
        }
        self._log = Path(self._folder) / "start.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"),
                    *("--head", "--block", "--disable-usage-stats"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START
        while "Ray runtime started" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text()
                self.close()
                raise RuntimeError(f"Ray did not start: {said}")
            time.sleep(0.1)

    def close(self) -> None:
        self._process.terminate()  # it ends what it has started
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
