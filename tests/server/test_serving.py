"""Where a server listens, who can open that, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

import datastore
from datastore import ConfigurationError
from datastore.cli.app import app
from datastore.cli.importing import imported
from datastore.server import serve
from tests.patience import PATIENCE
from tests.server.serving import Client, served


def test_the_socket_can_be_opened_by_its_owner_alone_and_is_removed_at_the_end(store, tmp_path):
    before = os.umask(0)
    try:
        with served(store, tmp_path) as server:
            mode = Path(server.path).lstat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert list(tmp_path.glob("*.sock")) == []
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_a_socket_that_a_dead_server_has_left_is_replaced(store, tmp_path, token):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s.sock"))
    with served(store, tmp_path) as server:
        assert server.client(token).call("whoami").status == 200


def test_a_socket_on_which_another_server_listens_is_left_alone(store, server, tmp_path, token):
    with pytest.raises(ConfigurationError, match="another server listens"):
        serve(store, uds=tmp_path / "s.sock")
    assert server.client(token).call("whoami").status == 200


def test_what_is_no_socket_is_left_alone(store, tmp_path):
    (tmp_path / "s.sock").write_text("mine")
    with pytest.raises(ConfigurationError, match="is no socket"):
        serve(store, uds=tmp_path / "s.sock")
    assert (tmp_path / "s.sock").read_text() == "mine"


def test_a_link_is_not_followed(store, tmp_path):
    (tmp_path / "s.sock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="is no socket"):
        serve(store, uds=tmp_path / "s.sock")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "uds=PATH"),
        ({"uds": "s.sock", "port": 0}, "not both"),
        ({"uds": "s.sock", "certfile": "c.pem"}, "no TLS"),
        ({"uds": "x" * 200}, "shorter"),
        ({"uds": "nowhere/s.sock"}, "cannot listen"),
        ({"port": 70_000}, "0 to 65535"),
        ({"port": 0, "keyfile": "k.pem"}, "without certfile"),
        ({"port": 0, "certfile": "c.pem"}, "cannot be used"),
        ({"port": 0, "host": "0.0.0.0"}, "expose=True"),
        ({"port": 0, "host": "store.example"}, "expose=True"),
        ({"port": 0, "host": "0.0.0.0", "expose": True}, "without TLS"),
        ({"port": 0, "host": "0.0.0.0", "expose": True, "without_tls": True}, "by which names"),
        (
            {"port": 0, "host": "192.0.2.1", "expose": True, "without_tls": True, "allowed_hosts": ["x"]},
            "cannot listen",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, dict) else None,
)
def test_where_it_should_not_listen_it_does_not(store, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        serve(store, **options)
    assert not Path("s.sock").exists()


def running(*arguments: str, directory: Path) -> subprocess.Popen[str]:
    """Start `datastore serve`, and wait until it listens."""
    server = subprocess.Popen(
        [sys.executable, "-m", "datastore", "serve", *arguments],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    assert "serving DataStore" in server.stdout.readline(), server.stderr and server.stderr.read()
    return server


@pytest.fixture
def token_in_a_file(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store:
        return store.tokens.mint("ann", "tester", label="audited")


def test_the_command_serves_a_store_tells_of_each_call_and_ends_with_sigterm(tmp_path, token_in_a_file):
    server = running("sqlite:///agents.db", "--audit", directory=tmp_path)
    try:
        client = Client(str(tmp_path / "datastore.sock"), token_in_a_file)
        client.call("set", {"key": "k", "value": "the secret value"})
        assert client.call("get", {"key": "k"}).result["value"] == "the secret value"
        client.close()
    finally:
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0
    assert '"token":"audited"' in said
    assert '"call":"get"' in said
    assert "secret value" not in said
    assert token_in_a_file not in said
    assert not (tmp_path / "datastore.sock").exists()
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store:
        assert store.host("ann").get_record("k").access_count == 1  # what was counted was written at the end


def test_calls_under_way_end_before_the_server_does(store, tmp_path, token):
    begun, gate = threading.Event(), threading.Event()
    write = store.backend.write

    def slow(writes):
        begun.set()
        gate.wait(PATIENCE)
        return write(writes)

    def is_listening():
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(client.path) == 0

    def open_gate_when_the_server_ends():
        while is_listening():
            time.sleep(0.01)
        gate.set()

    answered = []
    with served(store, tmp_path) as server:
        client = Client(server.path, token)  # not the server's, which closes those that it has made
        assert client.call("whoami").status == 200
        store.backend.write = slow
        calling = threading.Thread(target=lambda: answered.append(client.call("set", {"key": "k", "value": 1})))
        calling.start()
        assert begun.wait(PATIENCE)
        threading.Thread(target=open_gate_when_the_server_ends, daemon=True).start()
    calling.join(PATIENCE)
    client.close()
    assert answered[0].status == 200
    assert store.host("ann").get("k") == 1


def test_a_port_of_loopback_is_served_to_this_machine(store, tmp_path, token):
    url, is_ready, until = [], threading.Event(), threading.Event()
    thread = threading.Thread(
        target=lambda: serve(store, port=0, ready=lambda at: (url.append(at), is_ready.set()), until=until)
    )
    thread.start()
    try:
        assert is_ready.wait(PATIENCE)
        assert url[0].startswith("http://127.0.0.1:")
        port = int(url[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        until.set()
        thread.join(PATIENCE)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["serve", "memory://", "--port", "0", "--host", "0.0.0.0"])
    assert result.exit_code == 1
    assert "others can reach" in result.output


MODELS = """
import datastore
embedder = datastore.Embedder(lambda texts: [[1.0, float(len(text))] for text in texts], 2, "length")
class Models:
    other = embedder
number = 7
"""


@pytest.mark.parametrize("name", ["embedder", "Models.other"])
def test_the_command_serves_with_the_hosts_embedder(tmp_path, token_in_a_file, name):
    (tmp_path / "models.py").write_text(MODELS)
    server = running("sqlite:///agents.db", "--embedder", f"models:{name}", directory=tmp_path)
    try:
        with closing(Client(str(tmp_path / "datastore.sock"), token_in_a_file)) as client:
            client.call("memory_add", {"text": "tea", "key": "t"})
            ((score, found, part),) = client.call("memory_search", {"text_or_vector": "tea"}).items
            assert (found["value"], round(score, 3), part) == ("tea", 1, None)
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=PATIENCE)
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("models", "write MODULE:NAME, such as models:embedder"),
        ("models:", "write MODULE:NAME"),
        ("../models:embedder", "write MODULE:NAME"),
        ("no_such_models:embedder", "'no_such_models' cannot be imported: No module named 'no_such_models'"),
        ("models_at_fault:embedder", "'models_at_fault' cannot be imported: it raised ZeroDivisionError"),
        ("models:nothing", "'models' has no 'nothing'"),
        ("models:number", "embedder is an int; give a datastore.Embedder"),
    ],
)
def test_the_command_says_what_is_wrong_with_an_embedder(tmp_path, monkeypatch, place, said):
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "models_at_fault.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "models", raising=False)
    result = CliRunner().invoke(app, ["serve", "memory://", "--embedder", place])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert said in line
    assert not (tmp_path / "datastore.sock").exists()


def test_a_file_in_the_working_directory_takes_the_place_of_no_module(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "json")
    assert imported("json:dumps", "--embedder")([]) == "[]"


def test_after_kill_9_another_server_takes_the_place_and_no_write_is_lost_or_done_twice(tmp_path, token_in_a_file):
    acknowledged = 0
    for _ in range(3):
        server = running("sqlite:///agents.db", directory=tmp_path)
        client = Client(str(tmp_path / "datastore.sock"), token_in_a_file)
        died = threading.Timer(0.3, server.kill)
        died.start()
        sent = 0
        with suppress(OSError, http.client.HTTPException):  # the answer was cut off, or there is nobody any more
            while True:
                sent = 1
                answered = client.once("increment", {"key": "n"}, f"{time.monotonic_ns():032}")
                assert answered.result > acknowledged
                acknowledged, sent = acknowledged + 1, 0
        client.close()
        server.communicate(timeout=PATIENCE)
        with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store:
            stored = store.host("ann").get("n", 0)
        assert acknowledged <= stored <= acknowledged + sent
        acknowledged = stored
