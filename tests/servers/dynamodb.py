"""DynamoDB's stand-ins: ministack, which the kit trusts, and dynalite for a second opinion."""

import contextlib
import urllib.error
import urllib.request
from pathlib import Path

from tests.servers.installing import node_modules, python_environment
from tests.servers.processes import HOST, Server

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
"""Credentials that the servers accept, as they accept any."""


def ministack(folder: Path) -> Server:
    program = python_environment("ministack") / "ministack"
    return Server(
        "ministack",
        lambda port: [str(program)],
        _answers,
        folder,
        lambda port: {"BIND_HOST": HOST, "GATEWAY_PORT": str(port), "SERVICES": "dynamodb"},
    )


def dynalite(folder: Path) -> Server:
    program = node_modules() / "dynalite" / "cli.js"
    times = ["--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"]
    return Server(
        "dynalite", lambda port: ["node", str(program), "--host", HOST, "--port", str(port), *times], _answers, folder
    )


def _answers(port: int) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):  # an answer all the same
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    return True
