"""What `datastore doctor` is told."""

import time

import pytest

import datastore

pytestmark = pytest.mark.server("postgresql")


def found(backend, word, now=None):
    (finding,) = [one for one in backend.examine(time.time() if now is None else now) if word in one.text]
    return finding


def test_it_takes_1_request_and_names_the_version(backend, wire):
    findings = []
    assert wire.of(lambda: findings.extend(backend.examine(time.time()))) == 1
    assert findings[0].text.startswith("PostgreSQL 1")
    assert found(backend, "the clocks agree").healthy


def test_a_server_that_may_lose_what_it_acknowledges(backend):
    """That of the tests is quick, and does."""
    assert found(backend, "fsync is off").remedy == "fsync = on"


def test_a_clock_that_is_wrong(backend):
    assert found(backend, "this clock is -", 1_000.0).remedy == "synchronise both (NTP)"


def test_a_role_for_which_nothing_is_written(url, store, sql):
    sql("ALTER ROLE agents SET default_transaction_read_only = on")
    try:
        with datastore.connect(url) as other:
            assert not found(other.backend, "default_transaction_read_only").healthy
    finally:
        sql("SET default_transaction_read_only = off; ALTER ROLE agents RESET default_transaction_read_only")
