"""DynamoDB's stand-ins over HTTP: ministack, which the kit trusts, and dynalite for a second opinion."""

import atexit
import contextlib
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.servers.installing import node_modules, python_environment
from tests.servers.processes import HOST, Server, temporary_folder

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
"""The servers take any."""
REAL = "AGENT_DATASTORE_TEST_DYNAMODB_URL"
"""Names a real table to run the kit on: ``dynamodb://table?region=...``; credentials are those that boto3 finds."""


def new_ministack(folder: Path) -> Server:
    """Return a server, not started."""
    program = python_environment("ministack") / "ministack"
    return Server(
        "ministack",
        lambda port: [str(program)],
        _answers,
        folder,
        lambda port: {"BIND_HOST": HOST, "GATEWAY_PORT": str(port), "SERVICES": "dynamodb"},
    )


def new_dynalite(folder: Path) -> Server:
    """Return a server, not started."""
    program = node_modules() / "dynalite" / "cli.js"
    times = ["--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"]
    return Server(
        "dynalite", lambda port: ["node", str(program), "--host", HOST, "--port", str(port), *times], _answers, folder
    )


class StandIn:
    """A server of this test session.

    Args:
        new: Makes it.
        remedy: The command that installs what it needs.
        options: What it lacks, as parameters of the store's URL.
    """

    def __init__(self, new: Callable[[Path], Server], remedy: str, options: str = ""):
        self.REMEDY = remedy
        self._new = new
        self._options = options
        self._server: Server | None = None

    def start(self) -> None:
        """Install the server if it is not there, and start it."""
        if self._server is None:
            server = self._new(temporary_folder("dynamodb"))
            server.start()
            self._server = server
            atexit.register(self.stop)

    def stop(self) -> None:
        """End the server."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def endpoint(self) -> str:
        """The address of the server."""
        self.start()
        assert self._server is not None
        return f"http://{HOST}:{self._server.port}"

    def url(self, table: str | None = None) -> str:
        """Return the store's URL of a table, by default a new one."""
        os.environ.update({name: value for name, value in CREDENTIALS.items() if name not in os.environ})
        return f"dynamodb://{table or new_table()}?region=eu-west-1&endpoint_url={self.endpoint}{self._options}"


MINISTACK = StandIn(new_ministack, "apt-get install python3-venv python3-pip; the tests do the rest")
DYNALITE = StandIn(
    new_dynalite,
    "apt-get install nodejs npm, or from https://nodejs.org (version 20 or newer); the tests do the rest",
    "&transactions=false",
)


def new_table() -> str:
    """Return a name that no table has."""
    return f"test_{uuid.uuid4().hex}"


def _answers(port: int) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):  # an answer all the same
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    return True
