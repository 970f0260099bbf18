"""The command that an MCP client starts: a process of its own, with the token in a file."""

import asyncio
import subprocess
import sys

import pytest

import datastore
from tests.mcp.model import MODES, started
from tests.patience import PATIENCE


def token_file(tmp_path, token, mode=0o600):
    path = tmp_path / "token"
    path.touch(mode)
    path.chmod(mode)
    path.write_text(f"{token}\n")
    return path


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


@pytest.mark.parametrize("mode", MODES)
def test_a_client_works_with_the_store_and_everybody_sees_what_it_has_stored(url, tmp_path, mode):
    async def main(path):
        async with started(url, path, mode) as model:
            assert "set" in await model.tools()
            await model("set", key="plan", value={"by": "model", "n": 2**70})
            assert (await model("get", key="plan"))["value"] == {"by": "model", "n": 2**70}
            assert await model.error("get", key="plan", namespace="secret") == "PermissionDeniedError"

    with datastore.connect(url) as store:
        path = token_file(tmp_path, store.tokens.mint("alice", "planner", grants={"default": "write"}))
        asyncio.run(main(path))
        record = store.agent("alice", "other").get_record("plan")
    assert (record.value, record.created_by_agent, record.access_count) == ({"by": "model", "n": 2**70}, "planner", 1)
    assert path.exists()  # the client starts the command again whenever it starts itself


def test_a_token_that_is_revoked_meanwhile_is_of_no_use_at_once(url, tmp_path):
    async def main(store, token):
        async with started(url, token_file(tmp_path, token)) as model:
            await model("set", key="k", value=1)
            store.tokens.revoke(token)
            assert await model.error("get", key="k") == "InvalidTokenError"

    with datastore.connect(url) as store:
        asyncio.run(main(store, store.tokens.mint("alice", "planner")))


def refused(url, *arguments):
    command = [sys.executable, "-m", "datastore", "mcp", *map(str, arguments), url]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == ""
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_what_cannot_be_served_ends_in_one_line(url, tmp_path):
    assert "token mint" in refused(url)
    assert "cannot be read" in refused(url, "--token-file", tmp_path / "none")
    with datastore.connect(url) as store:
        token = store.tokens.mint("alice", "planner")
        path = token_file(tmp_path, token, 0o644)
        message = refused(url, "--token-file", path)
        assert "chmod 600" in message
        assert token not in message
        path.chmod(0o600)
        assert "at least 1000" in refused(url, "--token-file", path, "--max-result", "10")
        store.tokens.revoke(token)
    message = refused(url, "--token-file", path)
    assert "not valid" in message
    assert token not in message


def test_a_url_with_a_typing_error_makes_no_new_store(tmp_path):
    path = token_file(tmp_path, "dst_" + "a" * 43)
    refused(f"sqlite:///{tmp_path}/new.db", "--token-file", path)
    assert not (tmp_path / "new.db").exists()
