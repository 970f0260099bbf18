"""The recipe for Gunicorn works: real workers, with and without ``--preload``, count on one store."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import datastore
from tests.docs.pages import ROOT, blocks
from tests.patience import PATIENCE

PAGE = ROOT / "docs/deployment.md"
READING = """
recipe = app


def app(environ, start_response):
    answer = recipe(environ, start_response)
    store.agent("ann", "web").get("visits")
    return answer
"""
"""Counts a read for each visit. It is written when the worker closes its store, and not before."""


class OverSocket(http.client.HTTPConnection):
    """A connection to a server that listens at a path."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str, user: str) -> str:
    connection = OverSocket(path)
    try:
        connection.request("GET", f"/{user}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture
def application(tmp_path):
    (source,) = (block.text for block in blocks(PAGE, "python") if "def app(environ" in block.text)
    opened = '"sqlite:///wsgi.db")'
    assert opened in source
    (tmp_path / "wsgi.py").write_text(source.replace(opened, f"{opened}, flush_interval=600") + READING)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["each imports", "preload"])
def test_workers_share_one_store(application, options):
    if importlib.util.find_spec("gunicorn") is None:
        if os.environ.get("CI"):
            pytest.fail("gunicorn is not installed")
        pytest.skip("not installed here: gunicorn")
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "4", "--bind", "unix:s", *options]
    environment = {name: value for name, value in os.environ.items() if name != "AGENT_DATASTORE_URL"}
    with (application / "log").open("w") as log:
        server = subprocess.Popen([*command, "wsgi:app"], cwd=application, env=environment, stdout=log, stderr=log)
    try:
        path = os.path.relpath(application / "s")  # a path to a socket is short
        while (
            "Listening at" not in (application / "log").read_text()
        ):  # the socket is there before it can be connected to
            assert server.poll() is None, (application / "log").read_text()
            time.sleep(0.05)
        assert [ask(path, "ann") for _ in range(20)] == [f"visit {number}\n" for number in range(1, 21)]
        assert ask(path, "bob") == "visit 1\n"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
    assert server.returncode == 0
    assert "Error" not in (application / "log").read_text()
    with datastore.connect(f"sqlite:///{application / 'wsgi.db'}") as store:
        visits = store.host("ann").get_record("visits")
    assert (visits.value, visits.access_count) == (20, 21), "every worker closed its store"
    assert {file.name for file in application.glob("wsgi.db*")} == {"wsgi.db"}, "nobody else had it open"
