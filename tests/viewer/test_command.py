"""The command: an address that logs in once, on loopback, until it is told to end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.cookiejar import CookieJar

import pytest

import datastore
from tests.patience import PATIENCE


@contextmanager
def viewing(url, *options, folder=None):
    command = [sys.executable, "-u", "-m", "datastore", "view", url, "--no-browser", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=folder) as process:
        try:
            said = process.stdout.readline()
            assert "the address works once" in said, said + process.stderr.read()
            address = process.stdout.readline().removeprefix("open ").strip()
            yield process, address
        finally:
            process.kill()


def browser():
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/agents.db"
    with datastore.connect(url) as store:
        store.agent("ann", "planner", "jobs").set("plan", {"n": 1})
    return url


def test_it_shows_a_store_until_it_is_told_to_end(url):
    with viewing(url, "--audit", "--as", "eve") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/login\?code=[\w-]{32}", address)
        person = browser()
        with person.open(address, timeout=PATIENCE) as page:
            text = page.read().decode()
        assert 'href="/user?user=ann"' in text
        assert "person:eve" in text
        with pytest.raises(urllib.error.HTTPError) as refused:
            browser().open(address, timeout=PATIENCE)
        assert refused.value.code == 401
        refused.value.close()
        base = address.partition("/login")[0]
        with person.open(f"{base}/record?user=ann&namespace=jobs&key=plan", timeout=PATIENCE) as page:
            assert "planner" in page.read().decode()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert out == ""
        (line,) = errors.splitlines()
        event = json.loads(line)
        assert (event["user"], event["agent"], event["call"], event["key"]) == (
            "ann",
            "person:eve",
            "get_record",
            "plan",
        )
        assert address not in errors


def test_read_only_needs_no_permission_to_write(url, tmp_path):
    with viewing(url, "--read-only") as (_, address), browser().open(address, timeout=PATIENCE) as page:
        assert "read-only" in page.read().decode()


def test_it_searches_by_meaning_with_the_embedder_that_is_named(url, tmp_path):
    text = "import datastore\n\nembedder = datastore.Embedder(lambda texts: [[1.0, 2.0] for _ in texts], 2, 'm')\n"
    (tmp_path / "models_of_a_test.py").write_text(text)
    with datastore.connect(url) as store:
        store.agent("ann", "planner", "jobs").memory.add("a text", key="near", vector=[1.0, 2.0])
    with viewing(url, "--embedder", "models_of_a_test:embedder", folder=tmp_path) as (_, address):
        person = browser()
        person.open(address, timeout=PATIENCE).close()
        base = address.partition("/login")[0]
        with person.open(f"{base}/search?user=ann&by=meaning&q=anything", timeout=PATIENCE) as page:
            assert "key=near" in page.read().decode()


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    command = [sys.executable, "-m", "datastore", "view", f"sqlite:///{tmp_path}/none.db", "--no-browser"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 1
    assert "creates no new store" in ran.stderr
    assert not list(tmp_path.iterdir())
