"""A real server: a process of its own, which a test may kill at any moment."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


class ServerProcess:
    """``datastore serve`` for a SQLite file, on a Unix socket in the same directory."""

    def __init__(self, directory: Path) -> None:
        self.database = f"sqlite:///{directory / 'served.db'}"
        self.socket = directory / "s"
        self.url = f"http+unix://{self.socket}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "datastore", "serve", self.database, "--uds", str(self.socket)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self._process.stdout.readline().startswith("serving ")

    def most_memory(self) -> int:
        """Return the most bytes that it has had in memory (``VmHWM`` of Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1_024

    def kill(self) -> None:
        """End it as a power failure of the process would, with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an administrator does."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            process.wait()
            process.stdout.close()
