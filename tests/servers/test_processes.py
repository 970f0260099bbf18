"""The servers of a test run end with it, whatever ends it."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.servers.processes import HOST, FreePort

ROOT = Path(__file__).parents[2]

SESSION = """
import os, signal, sys, time
from pathlib import Path
from tests.servers.processes import Server

signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it, and its children would

# A server of two processes, both of which can write to the pipe.
pipe, folder = map(Path, sys.argv[1:])
command = ["sh", "-c", 'exec 3>"$0"; sleep 600 & echo started >&3; : > ready; wait', str(pipe)]
server = Server("sleeper", lambda port: command, lambda port: (folder / "ready").exists(), folder)
server.start()
{then}
time.sleep(600)
"""


@pytest.fixture
def session(tmp_path):
    """Start a process that starts a server; return it, and a pipe that ends when all of the server's processes have."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    started = []

    def start(then=""):
        command = [sys.executable, "-c", SESSION.format(then=then), str(tmp_path / "pipe"), str(tmp_path)]
        started.append(subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL))
        assert has(pipe, b"started\n")
        return started[0], pipe

    yield start
    os.close(pipe)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # Linux, macOS: all of its group have ended
        os.killpg(started[0].pid, signal.SIGKILL)  # with the child that one of them leaves behind
    started[0].wait()


def has(pipe, text):
    """Wait for the next that is written to a pipe, or for its end, and return whether it is this text."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    assert waiting.poll(PATIENCE * 1_000), "the server is still there"
    return os.read(pipe, len(text) or 1) == text


def has_ended(pipe):
    return has(pipe, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_server_ends_with_the_process_that_has_started_it(session, number):
    process, pipe = session()
    process.send_signal(number)
    assert has_ended(pipe)


def test_a_child_that_is_left_behind_keeps_no_server_running(session):
    process, pipe = session("if not os.fork(): pipe.write_text('forked'); time.sleep(600)")
    assert has(pipe, b"forked")
    process.kill()
    assert has_ended(pipe)


def test_a_server_that_was_stopped_leaves_nobody_who_watches_it(session):
    """No child is left to wait for."""
    process, pipe = session("server.stop()\ntry: os.waitpid(-1, 0)\nexcept ChildProcessError: sys.exit()")
    assert has_ended(pipe)
    assert process.wait(PATIENCE) == 0


def test_a_port_that_was_found_free_is_found_by_nobody_else_before_its_server_listens(monkeypatch):
    port = FreePort()
    monkeypatch.setattr("tests.servers.processes._PORTS", range(port.number, port.number + 1))
    with pytest.raises(RuntimeError, match="no port"):
        FreePort()
    with socket.create_server((HOST, port.number)):  # the server itself can have it
        pass
    del port
    assert FreePort().number
