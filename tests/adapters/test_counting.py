"""Counting accesses over `load` and `swap`: what it costs, and that nothing is counted twice or lost."""

from __future__ import annotations

import pytest

from datastore import BackendUnavailableError, PermissionDeniedError, ThrottledError
from datastore.adapters.changes import Late, Rules
from datastore.adapters.counting import Counter
from datastore.adapters.primitives import Counting
from datastore.backend import Access, Delete
from datastore.conformance.documents import at, id_of, put
from tests.adapters.databases import Client, Database, LostError, unanswered, unsent

LOAD, SWAP = "load", "swap"
KINDS = {
    "read": {},
    "remembered": {"rules": Rules(replaces_whole=False), "counting": Counting.REMEMBERED},
    "unseen": {"rules": Rules(replaces_whole=False), "counting": Counting.UNSEEN},
}


@pytest.fixture
def database():
    return Database()


@pytest.fixture(params=KINDS)
def client(request, database):
    """One that has written the documents ``a`` and ``b``."""
    client = Client(database, **KINDS[request.param])
    client.write(put("a"), put("b"))
    client.asked.clear()
    return client


@pytest.fixture
def stranger(database):
    return Client(database)


def access(client: Client, key: str, number: int, *, moment: float = 1) -> Access:
    return Access(id_of(key), client.database.model.documents[id_of(key)].created_at, number, "reader", at(moment))


def count(client: Client, key: str) -> int:
    return client.database.model.documents[id_of(key)].access_count


def test_it_takes_one_request_and_a_read_where_documents_are_read(client):
    client.counter.record([access(client, "a", 2), access(client, "b", 1)])
    assert client.asked == ([LOAD, SWAP] if client.counting is Counting.READ else [SWAP])
    assert (count(client, "a"), count(client, "b")) == (2, 1)
    document = client.database.model.documents[id_of("a")]
    assert (document.last_accessed_by_agent, document.last_accessed_at) == ("reader", at(1))


def test_a_document_that_is_stored_whole_is_stored_with_its_value(database):
    client = Client(database)
    client.write(put("a", {"n": 1}))
    client.counter.record([access(client, "a", 1)])
    assert client.changes[-1].document.value == {"n": 1}


def test_only_as_many_at_once_as_a_batch_holds(client):
    client.write(put("c"))
    client.asked.clear()
    client.counter.record([access(client, key, 1) for key in "abc"])
    assert client.asked.count(SWAP) == 2


def test_a_time_never_goes_back(client):
    client.counter.record([access(client, "a", 1, moment=3)])
    client.counter.record([access(client, "a", 1, moment=2)])
    document = client.database.model.documents[id_of("a")]
    assert (document.access_count, document.last_accessed_at) == (2, at(3))


def test_the_value_and_the_revision_stay(client):
    before = client.database.model.documents[id_of("a")]
    client.counter.record([access(client, "a", 1)])
    after = client.database.model.documents[id_of("a")]
    assert after[:8] == before[:8]


def test_what_is_gone_or_another_document_is_skipped(client, stranger):
    accesses = [access(client, "a", 1), access(client, "b", 1)]
    stranger.write(Delete(id_of("a"), at(2)), Delete(id_of("b"), at(2)))
    stranger.write(put("b", at=at(3)))
    client.counter.record(accesses)
    assert id_of("a") not in client.database.rows
    assert count(client, "b") == 0


def test_a_document_that_nobody_can_read_is_skipped(client):
    one = access(client, "a", 1)
    client.database.damage(id_of("a"))
    client.counter.record([one])
    assert client.database.rows[id_of("a")].damaged


def test_a_write_in_between_stands(client, stranger):
    client.meet([None, lambda: stranger.write(put("a", 2))])
    client.counter.record([access(client, "a", 1)])
    document = client.database.model.documents[id_of("a")]
    assert (document.value, document.access_count) == ((2, 1) if client.counting is Counting.READ else (None, 1))


def test_what_is_known_after_counting_serves_the_next_write(client):
    client.counter.record([access(client, "a", 1)])
    client.asked.clear()
    if client.counting is Counting.UNSEEN:
        assert client.memory.get(id_of("a")) is None
    else:
        client.write(put("a", 2))
        assert client.asked == [SWAP]


def test_what_counting_leaves_as_it_is_stays_known():
    client = Client(Database(), rules=Rules(replaces_whole=False), counting=Counting.UNSEEN)
    client.counts_apart = True
    client.write(put("a"))
    known = client.memory.get(id_of("a"))
    client.counter.record([access(client, "a", 1)])
    assert known is not None
    assert client.memory.get(id_of("a")) is known


@pytest.mark.parametrize("fault", [unsent, unanswered])
def test_without_an_answer_it_is_looked_at_or_sent_again_at_once_and_counted_once(client, fault):
    reads = [None] if client.counting is Counting.READ else []
    client.meet([*reads, fault])
    client.counter.record([access(client, "a", 3)])
    assert count(client, "a") == 3
    if client.counting is Counting.UNSEEN:  # the database itself tells whether it knows the mark
        assert client.asked[:2] == [SWAP, SWAP]
    else:
        assert client.asked[-2:] == ([SWAP, LOAD] if fault is unanswered else [LOAD, SWAP])
    assert not client.counter.accounts


@pytest.mark.parametrize("fault", [unsent, unanswered])
def test_what_is_handed_over_again_is_counted_once_with_what_came_in_addition(client, fault):
    reads = [None] if client.counting is Counting.READ else []
    client.meet([*reads, fault, unsent])
    with pytest.raises(LostError):
        client.counter.record([access(client, "a", 3)])
    client.counter.record([access(client, "a", 5)])
    assert count(client, "a") == 5
    assert not client.counter.accounts


def test_a_late_request_makes_no_difference(client):
    """The one without an answer arrives after it was sent again."""
    reads = [None] if client.counting is Counting.READ else []
    client.meet([*reads, unsent, unsent])
    with pytest.raises(LostError):
        client.counter.record([access(client, "a", 3)])
    (account,) = client.counter.accounts.values()
    client.counter.record([access(client, "a", 3)])
    late = client.changes[-1]
    assert late.marks == (account.mark,)
    assert late.write.number == 3
    assert isinstance(client.database.swap(late, client.rules), Late)
    assert count(client, "a") == 3


def test_of_a_batch_that_fails_half_way_the_first_half_is_not_counted_again(client):
    client.write(put("c"))
    accesses = [access(client, key, 2) for key in "abc"]
    reads = [None] if client.counting is Counting.READ else []
    client.meet([*reads, None, *reads, unsent, unsent])
    with pytest.raises(LostError):
        client.counter.record(accesses)
    assert [count(client, key) for key in "abc"] == [2, 2, 0]
    client.counter.record([access(client, key, 2 + (key == "a")) for key in "abc"])
    assert [count(client, key) for key in "abc"] == [3, 2, 2]


def test_a_document_made_again_does_not_inherit_what_was_counted(client, stranger):
    reads = [None] if client.counting is Counting.READ else []
    client.meet([*reads, unanswered, unsent])
    with pytest.raises(LostError):
        client.counter.record([access(client, "a", 3)])
    stranger.write(Delete(id_of("a"), at(2)))
    stranger.write(put("a", at=at(3)))
    client.counter.record([access(client, "a", 1)])
    assert count(client, "a") == 1


def test_what_is_refused_of_one_document_is_told_in_the_log_and_takes_no_other_along(client, monkeypatch, caplog):
    swap = client.database.swap
    refusal = PermissionDeniedError("no")
    monkeypatch.setattr(
        client.database, "swap", lambda change, rules: refusal if change.id == id_of("a") else swap(change, rules)
    )
    client.counter.record([access(client, "a", 1), access(client, "b", 1)])
    assert (count(client, "a"), count(client, "b")) == (0, 1)
    assert "lost the access count of a record: no" in caplog.text


def test_a_refusal_of_all_is_raised_and_nothing_is_in_doubt(client, monkeypatch):
    def refuse(changes):
        raise ThrottledError("slower")

    with monkeypatch.context() as patched:
        patched.setattr(client, "swap", refuse)
        with pytest.raises(ThrottledError):
            client.counter.record([access(client, "a", 1)])
    assert not client.counter.accounts
    client.counter.record([access(client, "a", 2)])
    assert count(client, "a") == 2


def test_who_always_comes_too_late_gives_up_and_nothing_is_lost(client, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(client, "swap", lambda changes: [Late() for _ in changes])
        patched.setattr("datastore.retry.Backoff.wait", lambda backoff: False)
        with pytest.raises(BackendUnavailableError, match="other writers"):
            client.counter.record([access(client, "a", 1)])
    client.counter.record([access(client, "a", 1)])
    assert count(client, "a") == 1


def test_what_is_remembered_is_bounded_and_forgotten_after_a_fork(client):
    client.counter = Counter(client, client.memory, batch=10, most_open=1)
    reads = [None] if client.counting is Counting.READ else []
    client.meet([*reads, unsent, unsent])
    with pytest.raises(LostError):
        client.counter.record([access(client, "a", 1), access(client, "b", 1)])
    assert list(client.counter.accounts) == [id_of("b")]
    client.counter.after_fork()
    assert not client.counter.accounts


def test_a_look_after_a_refusal_that_did_not_tell_is_repeated_once(database, monkeypatch):
    """As of a database that says no more than that a condition did not hold."""
    client = Client(database, **KINDS["unseen"])
    client.write(put("a"))
    one = access(client, "a", 1)
    refused = [Late()]
    swap = database.swap
    monkeypatch.setattr(database, "swap", lambda *args: refused.pop() if refused else swap(*args))
    client.asked.clear()
    client.meet([None, unanswered])
    client.counter.record([one])
    assert client.asked == [SWAP, LOAD, LOAD, SWAP]
    assert count(client, "a") == 1
    refused.append(Late())
    client.meet([None, unanswered, unanswered])
    with pytest.raises(LostError):
        client.counter.record([one])


def test_a_slow_request_leaves_as_much_time_against_others_as_a_quick_one(client, stranger, monkeypatch):
    """A thousand documents that a database takes one by one are many seconds, and then a few of them are gone."""
    now = [0.0]
    monkeypatch.setattr("datastore.retry.time.monotonic", lambda: now[0])
    monkeypatch.setattr("datastore.retry.time.sleep", lambda seconds: None)

    def slow():
        now[0] += 60
        stranger.write(Delete(id_of("b"), at(2)))

    accesses = [access(client, "a", 1), access(client, "b", 1)]
    client.meet([None, slow] if client.counting is Counting.READ else [slow])
    client.counter.record(accesses)
    assert count(client, "a") == 1
