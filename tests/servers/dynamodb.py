"""DynamoDB's stand-ins over HTTP: ministack, which the kit trusts, and dynalite for a second opinion."""

import contextlib
import functools
import os
import tempfile
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.servers.installing import NotInstalledError, node_modules, python_environment
from tests.servers.processes import HOST, Server

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
"""The servers take any."""
REAL = "AGENT_DATASTORE_TEST_DYNAMODB_URL"
"""Names a real table to run the kit on: ``dynamodb://table?region=...``; credentials are those that boto3 finds."""

REMEDY = {
    "ministack": "It is installed with: python -m venv .servers/ministack && "
    ".servers/ministack/bin/pip install -r tests/servers/ministack.txt",
    "dynalite": "It needs Node.js 20 with npm, and is installed with: npm ci --ignore-scripts",
}
unproven: dict[str, str] = {}
"""The servers that could not be started, each with the reason."""


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


_NEW = {"ministack": new_ministack, "dynalite": new_dynalite}
_OPTIONS = {"ministack": "", "dynalite": "&transactions=false"}
"""What a server lacks: dynalite has no transactions."""
_started: list[Server] = []


@functools.cache
def _server(name: str) -> Server | Exception:
    try:
        server = _NEW[name](Path(tempfile.mkdtemp(prefix=f"datastore-{name}-")))
        server.start()
        _started.append(server)
    except (NotInstalledError, RuntimeError, OSError) as error:
        unproven[name] = str(error)
        return error
    return server


def endpoint(name: str) -> str:
    """Return the address of a server, started for this test session.

    In CI a server that does not start fails the test; elsewhere the test is skipped, and the end of the run says so.
    """
    server = _server(name)
    if isinstance(server, Exception):
        if os.environ.get("CI"):
            raise server
        pytest.skip(f"{name} is not there: {server}")
    return f"http://{HOST}:{server.port}"


def url(name: str, table: str | None = None) -> str:
    """Return the URL of a new table on a server."""
    os.environ.update({name: value for name, value in CREDENTIALS.items() if name not in os.environ})
    return f"dynamodb://{table or new_table()}?region=eu-west-1&endpoint_url={endpoint(name)}{_OPTIONS[name]}"


def new_table() -> str:
    """Return a name that no table has."""
    return f"test_{uuid.uuid4().hex}"


def stop() -> None:
    """End what was started."""
    while _started:
        _started.pop().stop()
    _server.cache_clear()


def _answers(port: int) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):  # an answer all the same
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    return True
