"""Starting a server on a free loopback port, waiting until it answers, and ending it by its process id."""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.patience import PATIENCE

HOST = "127.0.0.1"


_PORTS = range(20_000, 32_000)
"""Below those that an operating system gives to outgoing connections (on Linux from 32,768).

One of those may belong to a client of the tests by the time that the server, or the server started anew, asks for it.
"""


class FreePort:
    """A port that nobody listens on, that no outgoing connection will take, nor another test run while this exists.

    A server takes a second until it listens, and others look for a port meanwhile. So the port of UDP with the same
    number is taken at once: it stands for the one of TCP, and is in nobody's way.

    Args:
        beside: How far above it another port lies that its server takes, too; 0 for none.

    Attributes:
        number: The port.
    """

    def __init__(self, beside: int = 0) -> None:
        ports = range(_PORTS.start, _PORTS.stop - beside)
        for number in random.SystemRandom().sample(ports, len(ports)):
            held = [_reserved(one) for one in {number, number + beside}]
            for one in filter(None, held):
                weakref.finalize(self, one.close)
            if None not in held:
                self.number = number
                return
        raise RuntimeError(f"no port between {ports.start} and {ports.stop} is free")


def _reserved(number: int) -> socket.socket | None:
    """Return what holds a port, if it is free."""
    held = socket.socket(type=socket.SOCK_DGRAM)
    try:
        held.bind((HOST, number))
        with socket.socket() as probe:
            probe.bind((HOST, number))
    except OSError:
        held.close()
        return None
    return held


def temporary_folder(name: str) -> Path:
    """Return a new folder for a server, removed when this process ends, after the server."""
    folder = Path(tempfile.mkdtemp(prefix=f"datastore-{name}-"))
    # Registered before the server is started, so called after it is stopped: the last one registered is the first.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Watcher:
    """Ends a group of processes as soon as this process has ended, whatever ended it: even SIGKILL.

    It is a shell that waits for the end of its standard input, which only this process can write to. (Linux would
    send a signal on the death of a parent, but already when the thread ends that has started the server.)

    Args:
        group: The process that leads the group.
    """

    def __init__(self, group: int):
        # In a session of its own: what is sent to this process's group, such as Ctrl-C, must not end it.
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ || kill -s KILL -- "-$1"', "watcher", str(group)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._shell.stdin is not None
        self._input = self._shell.stdin
        _INPUTS.add(self._input)

    def stop(self) -> None:
        """End the watcher: the group has ended."""
        _INPUTS.discard(self._input)
        with suppress(BrokenPipeError), self._input:
            self._input.write(b"\n")
        self._shell.wait()


_INPUTS: set[IO[bytes]] = set()


def _close_inputs() -> None:
    """A child that outlives this process must not keep its servers running."""
    while _INPUTS:
        _INPUTS.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inputs)


class Server:
    """A server process. It ends with this process.

    Args:
        name: What errors call it.
        command: Takes the port and returns the command line.
        ready: Takes the port and returns whether the server answers; may raise `OSError` until it does.
        folder: Where it runs and where its output goes (``<name>.log``), and its temporary files.
        environment: Added to this process's.
        beside: See `FreePort`.
        end: The signal that asks it to end at once, whoever is connected.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        ready: Callable[[int], bool],
        folder: Path,
        environment: Callable[[int], dict[str, str]] = lambda port: {},
        beside: int = 0,
        end: signal.Signals = signal.SIGTERM,
    ):
        self.name = name
        self._free = FreePort(beside)
        self.port = self._free.number
        self._command = command
        self._ready = ready
        self._folder = folder
        self._environment = environment
        self._end = end
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: Watcher | None = None

    def start(self, seconds: float = PATIENCE) -> None:
        """Start the server, on the same port each time, and wait until it answers."""
        atexit.register(self.stop)  # so it has the time to end by itself; whatever else ends this process, it is killed
        log = self._folder / f"{self.name}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r _ && exec "$@" < /dev/null', self.name, *self._command(self.port)],
                cwd=self._folder,
                env={**os.environ, "TMPDIR": str(self._folder), **self._environment(self.port)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._watcher = Watcher(self._process.pid)
        assert self._process.stdin is not None
        with self._process.stdin as gate:  # it starts when it is watched, and never if this process has ended before
            gate.write(b"\n")
        deadline = time.monotonic() + seconds
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.name} did not start: {log.read_text(errors='replace')[-2_000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and the processes that it started."""
        process, self._process = self._process, None
        watcher, self._watcher = self._watcher, None
        if process is not None and process.poll() is None:
            for number in (self._end, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(10)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
                break
        if watcher is not None:
            watcher.stop()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The server is not there for a while, and then it is there again with what it had."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _answers(self) -> bool:
        try:
            return self._ready(self.port)
        except OSError:
            return False
