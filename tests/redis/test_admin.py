"""What `datastore doctor` is told."""

import time

import pytest

pytestmark = pytest.mark.server("redis")


@pytest.fixture
def setting(ask):
    """Changes a setting of the server for a while."""
    before = {}

    def change(name, value):
        before.setdefault(name, ask("CONFIG", "GET", name)[1])
        ask("CONFIG", "SET", name, value)

    yield change
    for name, value in before.items():
        ask("CONFIG", "SET", name, value)


def found(backend, word, now=None):
    (finding,) = [one for one in backend.examine(time.time() if now is None else now) if word in one.text]
    return finding


def test_a_server_that_keeps_what_it_acknowledges(backend, wire):
    findings = []
    assert wire.of(lambda: findings.extend(backend.examine(time.time()))) == 1
    assert all(finding.healthy for finding in findings)
    assert found(backend, "appendonly").text.endswith("a crash loses no acknowledged writes, up to a second of them")


@pytest.mark.parametrize(
    ("changes", "word", "remedy"),
    [
        ({"appendonly": "no"}, "no snapshot is made: a restart loses everything", "appendonly yes"),
        ({"appendonly": "no", "save": "900 1"}, "a crash loses every write since the last snapshot", "appendonly yes"),
        ({"maxmemory-policy": "allkeys-lru"}, "removes records when its memory is full (allkeys-lru)", "noeviction"),
    ],
)
def test_a_server_that_does_not(backend, setting, changes, word, remedy):
    for name, value in changes.items():
        setting(name, value)
    finding = found(backend, word)
    assert not finding.healthy
    assert remedy in finding.remedy


def test_a_clock_that_is_wrong(backend):
    assert found(backend, "this clock is -", 1_000.0).remedy == "synchronise both (NTP)"


def test_credentials_that_may_not_ask(backend, ask, url):
    import datastore

    ask("ACL", "SETUSER", "agent", "on", ">pw", "~*", "+@all", "-@admin", "-@dangerous")
    try:
        with datastore.connect(url.replace("redis://", "redis://agent:pw@")) as store:
            store.agent("u", "a").set("k", 1)
            texts = [finding.text for finding in store.backend.examine(time.time())]
        assert any("cannot tell whether appendonly is on" in text for text in texts)
    finally:
        ask("ACL", "DELUSER", "agent")
