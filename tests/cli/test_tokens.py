"""``datastore token``: what it makes, shows and ends."""

import json
import stat

import pytest
from typer.testing import CliRunner

import datastore
from datastore.cli.app import app
from datastore.tokens import PREFIX

URL = "sqlite:///agents.db"


@pytest.fixture
def store():
    with datastore.connect(URL) as store:
        store.host("ann", "shared/prices").set("pen", 1)
        yield store


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(app, ["token", *arguments, "--url", URL])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_what_is_minted_binds_an_agent(store):
    arguments = ["--grant", "shared/*=read", "--grant", "mine=write", "--records", "2", "-n", "mine", "--ttl", "60"]
    token = run("mint", "ann", "crawler", *arguments, "--label", "run 7").strip()
    allowed = store.tokens.check(token)
    assert (allowed.user_id, allowed.agent, allowed.namespace, allowed.label) == ("ann", "crawler", "mine", "run 7")
    assert allowed.grants == {"shared/*": "read", "mine": "write"}
    assert allowed.quota == datastore.Quota(records=2)
    assert (allowed.expires_at - allowed.created_at).total_seconds() == pytest.approx(60, abs=1)
    assert store.tokens.agent(token).use_namespace("shared/prices").get("pen") == 1


def test_json_has_the_token_once_and_a_listing_never(store):
    minted = json.loads(run("mint", "ann", "crawler", "--json"))
    assert store.tokens.check(minted.pop("token")).id == minted["id"]
    listed = run("list", "--json")
    assert json.loads(listed) == minted
    assert PREFIX not in listed + run("list")
    assert run("list", "--user", "bob") == ""


def test_a_token_goes_into_a_file_that_only_its_owner_can_read(store, own_directory):
    shown = run("mint", "ann", "crawler", "--token-file", "crawler.token")
    path = own_directory / "crawler.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text().strip()
    assert token not in shown
    assert store.tokens.check(token).id in shown


def test_a_file_that_is_there_is_left_and_no_token_is_made(store, own_directory):
    (own_directory / "crawler.token").write_text("mine")
    assert "no token was made" in run("mint", "ann", "crawler", "--token-file", "crawler.token", exit_code=1)
    assert (own_directory / "crawler.token").read_text() == "mine"
    assert store.tokens.list() == []


@pytest.mark.parametrize("wrong", [["--grant", "mine"], ["--grant", "mine=all"], ["--ttl", "0"], ["--records", "-1"]])
def test_what_cannot_be_minted_leaves_no_file(store, own_directory, wrong):
    run("mint", "ann", "crawler", "--token-file", "crawler.token", *wrong, exit_code=1)
    assert not (own_directory / "crawler.token").exists()
    assert store.tokens.list() == []


def test_a_token_is_revoked_by_its_id(store):
    token = store.tokens.mint("ann", "crawler")
    store.tokens.narrow(token)
    assert "of " + store.tokens.check(token).id in run("list")
    assert run("revoke", store.tokens.check(token).id) == "revoked 2 tokens\n"
    assert store.tokens.list() == []
    assert "no such token" in run("revoke", "0" * 16, exit_code=4)
    assert json.loads(run("revoke", "0" * 16, "--json", exit_code=4).splitlines()[0]) == {"revoked": 0}
    run("revoke", "no id", exit_code=1)


def test_a_token_can_be_limited_to_certain_calls_and_to_so_many_in_a_minute(store):
    minted = json.loads(
        run("mint", "ann", "reader", "--call", "get", "--call", "find*", "--calls-per-minute", "60", "--json")
    )
    allowed = store.tokens.check(minted["token"])
    assert allowed.calls == ("find", "find_in", "find_one_and_update", "find_records", "get")
    assert allowed.quota == datastore.Quota(calls_per_minute=60)
    assert "up to 60 calls a minute, by find find_in" in run("list")
    assert "no call is called so" in run("mint", "ann", "reader", "--call", "fnid", exit_code=1)
