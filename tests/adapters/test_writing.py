"""Writing over `load` and `swap`: what it costs, its outcomes, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datastore import (
    BackendUnavailableError,
    DamagedRecordError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ValueTooLargeError,
)
from datastore.adapters.changes import Late, Rules
from datastore.adapters.knowledge import ABSENT, Memory
from datastore.adapters.primitives import Primitives
from datastore.adapters.remembering import REMEMBERED, mark_of
from datastore.adapters.writing import Writer
from datastore.backend import Delete, Document, Fields, Outcome, Restore, Touch
from datastore.conformance.documents import at, id_of, put
from datastore.values import encode
from tests.adapters.databases import Client, Database, LostError, unanswered, unsent
from tests.third_party.shelf import Shelf, ShelfBackend

LOAD, SWAP = "load", "swap"
DONE = Outcome(True)


@pytest.fixture
def database():
    return Database()


@pytest.fixture
def client(database):
    return Client(database)


@pytest.fixture
def stranger(database):
    """Who works on the same documents, and of whom the client sees nothing."""
    return Client(database)


@pytest.fixture
def blind(database):
    return Client(database, rules=Rules(replaces_whole=False), blind=True)


def restore(key: str, value: object, *, if_revision: str | None = None, revision: str = "old", at: str = at(5)):
    whole = Document(id_of(key), "2026-01-01", revision, None, value, {"a": 1}, "creator", "2026-01-02", 7, "x", "y")
    return Restore(whole, "user", "ns", key, encode(value), at, if_revision)


# Requests


def test_a_new_document_takes_one_request(client):
    assert client.write(put("k")) == [DONE]
    assert client.asked == [SWAP]


def test_an_adapter_is_told_whether_a_write_is_alone(database):
    told = []

    class Asked(Client):
        def guess(self, write, remembered, alone):
            told.append(alone)
            return super().guess(write, remembered, alone)

    client = Asked(database)
    client.write(put("a"))
    client.write(put("b"), put("c"))
    assert told == [True, False, False]


def test_where_nobody_can_tell_who_removed_a_document_the_delete_without_an_answer_did(database):
    class CannotTell(Client):
        was_removed_by = Primitives.was_removed_by

    client = CannotTell(database)
    client.write(put("k"))
    client.meet([unanswered])
    assert client.write(Delete(id_of("k"), at(1))) == [DONE]


def test_a_document_that_is_known_here_takes_one_request(client):
    revision = "first"
    client.write(put("k", revision=revision))
    client.asked.clear()
    client.write(put("k", 2, metadata={"a": 1}, if_revision=revision))
    client.write(put("k", 3))
    client.write(Delete(id_of("k"), at(1)))
    assert client.asked == [SWAP] * 3


def test_a_document_that_is_not_known_here_takes_three(client, stranger):
    stranger.write(put("k"))
    assert client.write(put("k", 2)) == [DONE]
    assert client.asked == [SWAP, LOAD, SWAP]


def test_what_a_guess_cannot_do_is_read_first(client, stranger):
    stranger.write(put("a", revision="first"), put("b"))
    assert client.write(put("a", 2, if_revision="first"), Delete(id_of("b"), at(1))) == [DONE, DONE]
    assert client.asked == [LOAD, SWAP]


def test_a_blind_change_takes_one_request_whatever_is_stored(blind, stranger):
    stranger.write(put("a"), put("b"), put("c", revision="first"))
    deletes = [Delete(id_of("b"), at(1)), Delete(id_of("nothing"), at(1))]
    writes = [put("a", 2), put("new"), put("c", 3, if_revision="first"), *deletes]
    assert blind.write(*writes) == [DONE, DONE, DONE, DONE, Outcome(False)]
    assert blind.asked == [SWAP]


def test_a_blind_change_that_is_refused_goes_by_what_the_refusal_told(blind, stranger):
    stranger.write(put("k", metadata={"a": 1}))
    assert blind.write(put("k", 2, metadata={"b": 2})) == [DONE]
    assert blind.asked == [SWAP, SWAP]
    assert blind.database.model.documents[id_of("k")].metadata == {"a": 1, "b": 2}


def test_a_change_that_nothing_speaks_against_is_sent_again_without_a_look(client, monkeypatch):
    answers = iter([lambda change: Late(change.over), lambda change: Late(change.over)])
    swap = client.database.swap
    monkeypatch.setattr(client.database, "swap", lambda change, rules: next(answers, lambda c: swap(c, rules))(change))
    assert client.write(put("k")) == [DONE]
    assert client.asked == [SWAP] * 3
    assert [change.attempt for change in client.changes] == [0, 1, 2]


def test_nobody_waits_before_the_second_attempt(client, stranger, monkeypatch):
    """Most often something was guessed wrong."""
    monkeypatch.setattr("datastore.retry.Backoff.wait", lambda backoff: pytest.fail("it waits"))
    stranger.write(put("k"))
    assert client.write(put("k", 2)) == [DONE]


# What only a look may settle


@pytest.mark.parametrize("write", [put("k", 2, if_absent=True), put("k", 2, if_revision="wrong")])
def test_what_is_remembered_settles_no_outcome(client, stranger, write):
    client.write(put("k", revision="first"))
    stranger.write(Delete(id_of("k"), at(1)))
    if write.if_revision:
        stranger.write(put("k", 3, revision="wrong"))
    client.asked.clear()
    assert client.write(write) == [DONE]
    assert client.asked[0] == LOAD


def test_metadata_that_would_have_been_too_large_is_looked_at_again(client, stranger):
    client.write(put("k", metadata={"a": "x" * 900}))
    stranger.write(put("k", metadata={"a": None}))
    large = {"b": "x" * 15_900}
    assert client.write(put("k", metadata=large)) == [DONE]
    (outcome,) = client.writer.write([put("k", metadata={"c": "x" * 900})])
    assert isinstance(outcome.error, ValueTooLargeError)


# Answers that are lost


@pytest.mark.parametrize("fault", [unsent, unanswered])
@pytest.mark.parametrize("others", [0, REMEMBERED - 1])
def test_a_put_without_an_answer_is_applied_once(client, stranger, fault, others):
    client.write(put("k", revision="first"))
    client.meet([fault, unsent])
    mine = put("k", "mine", if_revision="first")
    with pytest.raises(LostError):
        client.writer.write([mine])
    if fault is unanswered:
        for number in range(others):
            stranger.write(put("k", number))
    assert client.write(mine) == [DONE]
    assert client.database.done["Put", mine.id, mine.at] + (fault is unsent) >= 1
    value = client.database.model.documents[mine.id].value
    assert value == (others - 1 if others and fault is unanswered else "mine")


def test_it_is_looked_at_at_once(client):
    client.meet([unanswered])
    assert client.writer.write([put("k")]) == [DONE]
    assert client.asked == [SWAP, LOAD]


def test_it_is_not_looked_at_where_nobody_would_answer(client, monkeypatch):
    monkeypatch.setattr(client, "look_at_once", lambda error: False)
    client.meet([unanswered])
    with pytest.raises(LostError):
        client.writer.write([put("k")])
    assert client.asked == [SWAP]


def test_of_a_batch_without_an_answer_those_that_are_done_say_so(client, stranger):
    client.write(put("a"), put("b", revision="first"))
    stranger.write(put("b", revision="second"))
    client.meet([unanswered])
    done, late = client.writer.write([put("a", 2), put("b", 2)])
    assert done == DONE
    assert isinstance(late.error, LostError)


@pytest.mark.parametrize("fault", [unsent, unanswered])
def test_a_delete_without_an_answer_has_removed_what_was_there(client, fault):
    client.write(put("k"))
    client.meet([fault, unsent])
    delete = Delete(id_of("k"), at(1))
    with pytest.raises(LostError):
        client.writer.write([delete])
    assert client.write(delete) == [DONE]
    assert client.database.done["Delete", delete.id, delete.at] == 1
    assert not client.writer.unanswered


@pytest.mark.parametrize("condition", [None, "first"])
@pytest.mark.parametrize("who", ["client", "blind"])
def test_a_repeated_delete_does_not_remove_a_document_made_later(request, stranger, who, condition):
    client = request.getfixturevalue(who)
    stranger.write(put("k", revision="first"))
    client.meet([unanswered, unsent] if who == "blind" else [None, unanswered, unsent])
    delete = Delete(id_of("k"), at(1), condition)
    with pytest.raises(LostError):
        client.writer.write([delete])
    stranger.write(put("k", 2, at=at(2)))
    assert client.write(delete) == [DONE]
    assert client.database.model.documents[delete.id].value == 2


@pytest.mark.parametrize("condition", [None, "first"])
def test_the_databases_own_clock_tells_that_a_document_is_later_whose_call_began_before(client, stranger, condition):
    client.write(put("k", revision="first"))
    client.meet([unanswered, unsent])
    delete = Delete(id_of("k"), at(3), condition)
    with pytest.raises(LostError):
        client.writer.write([delete])
    stranger.write(put("k", 2, at=at(2)))
    rows = client.database.rows
    rows[delete.id] = rows[delete.id]._replace(since=at(4))
    assert client.write(delete) == [DONE]
    assert client.database.model.documents[delete.id].value == 2


@pytest.mark.parametrize("who", ["client", "blind"])
def test_a_delete_at_a_revision_that_was_refused_says_so_however_often_it_is_sent(request, stranger, who):
    client = request.getfixturevalue(who)
    stranger.write(put("k", revision="first"))
    client.meet([unsent, unsent] if who == "blind" else [None, unsent, unsent])
    delete = Delete(id_of("k"), at(1), "first")
    with pytest.raises(LostError):
        client.writer.write([delete])
    stranger.write(put("k", 2, revision="second"))
    assert client.write(delete) == [Outcome(False, "second")]


def test_somebody_elses_delete_is_told_from_the_one_without_an_answer(client, stranger):
    client.write(put("k"))
    client.meet([unsent, unsent])
    delete = Delete(id_of("k"), at(1))
    with pytest.raises(LostError):
        client.writer.write([delete])
    stranger.write(Delete(id_of("k"), at(2)))
    assert client.write(delete) == [Outcome(False)]


class Unlucky(ShelfBackend):
    """Loses the answers to some of its next requests."""

    loses: Iterator[bool] = iter(())

    def load(self, ids, **wanted):
        return self._answered(super().load(ids, **wanted))

    def swap(self, changes):
        return self._answered(super().swap(changes))

    def _answered(self, answer):
        if next(self.loses, False):
            raise LostError("no answer")
        return answer


@pytest.fixture
def touched():
    """Return an adapter, another one, and a touch that was made and whose answer was lost."""
    shelf = Shelf()
    client, stranger = Unlucky(shelf), ShelfBackend(shelf)
    client.write([put("k")])
    client.loses = iter((False, True, True))  # it reads, writes, and looks what became of that
    touch = Touch(id_of("k"), at(1), at(2))
    with pytest.raises(LostError):
        client.write([touch])
    return client, stranger, touch


def test_a_repeated_touch_leaves_alone_a_document_made_later(touched):
    client, stranger, touch = touched
    stranger.write([put("k", 2, at=at(3), expires_at=at(9))])  # by then the other has expired
    assert client.write([touch]) == [DONE]
    assert client.read([touch.id], Fields.ALL)[touch.id].expires_at == at(9)
    assert not client.writer.unanswered


def test_a_repeated_touch_moves_the_expiry_of_the_document_that_it_was_for(touched):
    client, stranger, touch = touched
    stranger.write([put("k", 2, at=at(1), expires_at=at(9))])
    assert client.write([touch]) == [DONE]
    assert client.read([touch.id], Fields.ALL)[touch.id].expires_at == at(2)


def test_where_the_database_tells_when_a_document_was_created_a_repeated_touch_goes_by_that(fields, stranger):
    """The call that created it had begun before the touch, and came to it afterwards."""
    fields.write(put("k"))
    fields.meet([unanswered, unsent])
    touch = Touch(id_of("k"), at(3), at(60))
    with pytest.raises(LostError):
        fields.writer.write([touch])
    stranger.write(Delete(touch.id, at(3)))
    stranger.write(put("k", 2, at=at(2)))
    rows = fields.database.rows
    rows[touch.id] = rows[touch.id]._replace(since=at(4))
    assert fields.write(touch) == [DONE]
    assert fields.database.model.documents[touch.id].expires_at is None


@pytest.mark.parametrize("created", [0.5, 3], ids=["by a clock that is behind", "later"])
def test_what_the_call_has_seen_tells_a_document_from_its_successor_whatever_the_clocks_show(fields, stranger, created):
    """A touch and a delete leave it alone."""
    for write in (
        Touch(id_of("k"), at(1), at(60), seen=at(0)),
        Delete(id_of("k"), at(1), seen=at(0)),
        Delete(id_of("k"), at(1), "first", seen=at(0)),
    ):
        fields.write(put("k", at=at(0), revision="first"))
        fields.meet([unanswered, unsent])
        with pytest.raises(LostError):
            fields.writer.write([write])
        stranger.write(Delete(id_of("k"), at(2)))
        stranger.write(put("k", 2, at=at(created), revision="second"))
        assert fields.write(write) == [DONE]
        document = fields.database.model.documents[write.id]
        assert (document.revision, document.expires_at) == ("second", None)
        stranger.write(Delete(id_of("k"), at(4)))


def test_what_the_call_has_seen_is_removed_though_a_clock_is_ahead(client, stranger):
    """The first request never arrived, and somebody else has written the document."""
    client.write(put("k", at=at(5)))
    client.meet([unsent, unsent])
    delete = Delete(id_of("k"), at(1), seen=at(5))
    with pytest.raises(LostError):
        client.writer.write([delete])
    stranger.write(put("k", 2))
    assert client.write(delete) == [DONE]
    assert delete.id not in client.database.model.documents


def test_a_restore_without_an_answer_is_known_by_its_moment(client, stranger):
    mine = restore("k", 1)
    client.meet([unanswered, unsent])
    with pytest.raises(LostError):
        client.writer.write([mine])
    stranger.write(put("k", 2, revision="second"))
    assert client.write(mine) == [DONE]
    assert client.database.model.documents[mine.id].value == 2
    again = restore("k", 1, if_revision="second", at=at(6))
    assert client.write(again) == [DONE]
    assert client.database.model.documents[mine.id] == again.document


def test_what_is_remembered_of_deletes_is_bounded_and_forgotten_after_a_fork(client):
    client.writer = Writer(client, client.memory, most_unanswered=2)
    client.write(*(put(f"k{number}") for number in range(4)))
    client.meet([unsent, unsent])
    with pytest.raises(LostError):
        client.writer.write([Delete(id_of(f"k{number}"), at(1)) for number in range(4)])
    assert [delete.id for delete in client.writer.unanswered] == [id_of("k2"), id_of("k3")]
    client.writer.after_fork()
    assert not client.writer.unanswered


# Touches and kept expiries


def touch(key: str, expires_at: str | None = at(60), *, at: str = at(1)) -> Touch:
    return Touch(id_of(key), at, expires_at)


class Terse(Client):
    """One whose database refuses a change without telling what is stored, as DynamoDB does if nothing is."""

    def swap(self, changes):
        return [Late() if isinstance(result, Late) else result for result in super().swap(changes)]


@pytest.fixture
def terse(database):
    return Terse(database, rules=Rules(replaces_whole=False), blind=True)


@pytest.fixture
def fields(database):
    """One that changes fields of a document, and reads no value for it."""
    return Client(database, rules=Rules(replaces_whole=False))


def expiry(client, key):
    return client.database.model.documents[id_of(key)].expires_at


def test_a_touch_of_a_known_document_takes_one_request_where_fields_are_changed(fields):
    fields.write(put("k", revision="first"))
    fields.asked.clear()
    assert fields.write(touch("k")) == [DONE]
    assert fields.write(touch("k", None)) == [DONE]
    assert fields.asked == [SWAP] * 2
    assert fields.write(put("k", 2, if_revision="first")) == [DONE]
    assert fields.asked == [SWAP] * 3


def test_where_a_document_is_replaced_as_a_whole_a_touch_reads_its_value_and_writes_it_again(client):
    client.write(put("k", {"n": 1}, metadata={"a": 1}, revision="first"))
    client.asked.clear()
    before = client.database.model.documents[id_of("k")]
    assert client.write(touch("k")) == [DONE]
    assert client.asked == [LOAD, SWAP]
    assert client.changes[-1].document == before._replace(expires_at=at(60))


@pytest.mark.parametrize("who", ["client", "fields", "blind"])
def test_a_touch_needs_a_live_document(request, stranger, who):
    client = request.getfixturevalue(who)
    stranger.write(put("expired", expires_at=at(1)))
    assert client.write(touch("missing"), touch("expired")) == [Outcome(False)] * 2
    assert expiry(client, "expired") == at(1)


def test_a_blind_touch_takes_one_request_of_any_live_document(blind, stranger):
    stranger.write(put("k"))
    assert blind.write(touch("k")) == [DONE]
    assert blind.asked == [SWAP]
    assert expiry(blind, "k") == at(60)


@pytest.mark.parametrize("events", [[unsent], [None, unsent], [None, unanswered]], ids=["read", "sent", "done"])
def test_a_touch_that_was_refused_is_not_taken_for_done_because_of_a_document_made_since(terse, stranger, events):
    """It found nothing, and could not look. Then its next request, or the answer to it, was lost."""
    terse.meet([None, unsent])
    with pytest.raises(LostError):
        terse.writer.write([touch("k")])
    stranger.write(put("k", at=at(2)))
    terse.meet(events)
    assert terse.write(touch("k")) == [DONE]
    assert expiry(terse, "k") == at(60)
    assert not terse.writer.refused


def test_a_delete_that_was_refused_is_not_taken_for_done_because_of_a_document_made_since(terse, stranger):
    stranger.write(put("k", revision="second"))
    delete = Delete(id_of("k"), at(1), "first")
    terse.meet([None, unsent])
    with pytest.raises(LostError):
        terse.writer.write([delete])
    stranger.write(Delete(id_of("k"), at(2)))
    stranger.write(put("k", 3, at=at(2), revision="third"))
    terse.meet([unsent])
    assert terse.write(delete) == [Outcome(False, "third")]
    assert not terse.writer.refused


def test_what_is_remembered_of_refused_writes_is_bounded_and_forgotten_after_a_fork(terse):
    terse.writer = Writer(terse, terse.memory, most_unanswered=2)
    terse.meet([None, unsent])
    with pytest.raises(LostError):
        terse.writer.write([touch(f"k{number}") for number in range(4)])
    assert [one.id for one in terse.writer.refused] == [id_of("k2"), id_of("k3")]
    terse.writer.after_fork()
    assert not terse.writer.refused


def test_a_touch_that_changes_nothing_is_done_after_a_look_and_writes_nothing(client):
    client.write(put("k", expires_at=at(60)))
    client.asked.clear()
    assert client.write(touch("k")) == [DONE]
    assert client.asked == [LOAD]


def test_what_is_remembered_settles_no_touch(fields, stranger):
    """It had this expiry when it was last seen here."""
    fields.write(put("k", expires_at=at(60)))
    stranger.write(touch("k", at(90)))
    assert fields.write(touch("k")) == [DONE]
    assert expiry(fields, "k") == at(60)


@pytest.mark.parametrize("who", ["client", "fields", "blind"])
@pytest.mark.parametrize("fault", [unsent, unanswered])
def test_a_touch_without_an_answer_is_sent_again_unless_it_is_there(request, who, fault):
    client = request.getfixturevalue(who)
    client.write(put("k"))
    client.memory.clear()
    client.meet([fault, unsent] if who == "blind" else [None, fault, unsent])
    with pytest.raises(LostError):
        client.writer.write([touch("k")])
    assert client.write(touch("k")) == [DONE]
    assert expiry(client, "k") == at(60)


def test_a_touch_of_what_nobody_can_read_is_an_error(client):
    client.database.damage(id_of("k"))
    (outcome,) = client.writer.write([touch("k")])
    assert isinstance(outcome.error, DamagedRecordError)


def test_a_touch_reads_the_values_also_of_what_else_must_be_read(client, stranger):
    stranger.write(put("a", {"n": 1}), put("b", revision="first"))
    writes = [touch("a"), put("b", 2, if_revision="first"), touch("missing")]
    assert client.write(*writes) == [DONE, DONE, Outcome(False)]
    assert client.asked == [LOAD, SWAP]


@pytest.mark.parametrize("who", ["client", "fields", "blind"])
@pytest.mark.parametrize("metadata", [None, {"b": 2}])
def test_a_put_that_keeps_the_expiry_takes_no_touch_back(request, stranger, who, metadata):
    client = request.getfixturevalue(who)
    client.write(put("k", metadata={"a": 1}, expires_at=at(30)))
    stranger.write(touch("k", at(90)))
    assert client.write(put("k", 2, at=at(2), metadata=metadata, expires_at=at(40), keep_expiry=True)) == [DONE]
    assert expiry(client, "k") == at(90)


@pytest.mark.parametrize("who", ["client", "fields", "blind"])
def test_over_nothing_live_it_sets_its_own(request, who):
    client = request.getfixturevalue(who)
    client.write(put("expired", expires_at=at(1)))
    keeping = [put(key, 2, at=at(2), expires_at=at(40), keep_expiry=True) for key in ("expired", "new")]
    assert client.write(*keeping) == [DONE] * 2
    assert expiry(client, "expired") == expiry(client, "new") == at(40)


# Deletes that must be certain


CERTAIN = Delete(id_of("k"), at(1), "first", certain=True)


@pytest.fixture(params=[True, False], ids=["tells", "cannot tell"])
def tells(request):
    """Whether it can be found out who has removed a document."""
    return request.param


@pytest.fixture
def sure(database, tells):
    client = Client(database, tells=tells)
    client.write(put("k", revision="first"))
    return client


def test_a_certain_delete_with_an_answer_is_done(sure):
    assert sure.write(CERTAIN) == [DONE]
    assert sure.write(CERTAIN) == [Outcome(False)]


@pytest.mark.parametrize("looks", [1, 2], ids=["at once", "later"])
def test_a_certain_delete_without_an_answer_is_done_only_where_that_can_be_told(sure, tells, looks):
    sure.meet([unanswered] + [unsent] * (looks - 1))
    if looks == 2:
        with pytest.raises(LostError):
            sure.writer.write([CERTAIN])
    (outcome,) = sure.writer.write([CERTAIN])
    assert outcome == DONE if tells else isinstance(outcome.error, OutcomeUnknownError)
    assert outcome.done == tells
    assert not sure.writer.unanswered


def test_a_certain_delete_that_was_not_applied_is_not_done_because_another_one_was(sure, stranger, tells):
    sure.meet([unsent, unsent])
    with pytest.raises(LostError):
        sure.writer.write([CERTAIN])
    assert stranger.write(CERTAIN._replace(at=at(2))) == [DONE]
    (outcome,) = sure.writer.write([CERTAIN])
    assert outcome == Outcome(False) if tells else isinstance(outcome.error, OutcomeUnknownError)
    assert not outcome.done
    assert not sure.writer.unanswered


def test_a_certain_delete_that_was_not_applied_is_sent_again(sure):
    sure.meet([unsent])
    assert sure.write(CERTAIN) == [DONE]
    assert sure.database.model.documents == {}


@pytest.mark.parametrize("fault", [unsent, unanswered])
@pytest.mark.parametrize("created_at", [at(2), "2026-01-01"], ids=["new", "restored"])
def test_a_certain_delete_is_in_doubt_where_another_document_is_there(sure, stranger, fault, created_at):
    """And it stays: neither has the delete surely removed what was there before, nor surely not."""
    sure.meet([fault, unsent])
    with pytest.raises(LostError):
        sure.writer.write([CERTAIN])
    stranger.write(Delete(id_of("k"), at(2)))
    another = restore("k", 2, at=at(2))
    stranger.write(another._replace(document=another.document._replace(created_at=created_at)))
    (outcome,) = sure.writer.write([CERTAIN])
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert sure.database.model.documents[id_of("k")].value == 2
    assert not sure.writer.unanswered


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize("fresh", [True, False], ids=["just read", "remembered"])
def test_a_delete_leaves_alone_what_a_lost_write_has_created_once_more(sure, stranger, certain, fresh):
    """The write was done again because this delete had removed what it looked for. So both have one revision."""
    delete = CERTAIN._replace(certain=certain)
    if fresh:
        sure.memory.clear()
    sure.meet([*[None] * fresh, unanswered, unsent])
    with pytest.raises(LostError):
        sure.writer.write([delete])
    stranger.write(put("k", revision="first", at=at(2)))
    (outcome,) = sure.writer.write([delete])
    assert isinstance(outcome.error, OutcomeUnknownError) if certain else outcome == DONE
    assert id_of("k") in sure.database.model.documents
    assert not sure.writer.unanswered


def test_a_certain_delete_of_what_was_written_over_is_refused(sure, stranger):
    sure.meet([unsent, unsent])
    with pytest.raises(LostError):
        sure.writer.write([CERTAIN])
    stranger.write(put("k", 2, revision="second"))
    assert sure.writer.write([CERTAIN]) == [Outcome(False, "second")]


# Errors


def test_a_refusal_of_one_change_is_the_outcome_of_its_write(client, monkeypatch):
    swap, refusal = client.database.swap, PermissionDeniedError("no")
    monkeypatch.setattr(
        client.database, "swap", lambda change, rules: refusal if change.id == id_of("a") else swap(change, rules)
    )
    assert client.writer.write([put("a"), put("b")]) == [Outcome(False, error=refusal), DONE]


def test_what_is_said_of_all_is_raised(client, monkeypatch):
    def refuse(changes):
        raise PermissionDeniedError("no")

    monkeypatch.setattr(client, "swap", refuse)
    with pytest.raises(PermissionDeniedError):
        client.writer.write([put("a"), put("b")])


def test_what_is_done_before_a_request_fails_is_not_lost(client, stranger):
    stranger.write(put("a"))
    client.meet([None, unsent])
    late, done = client.writer.write([put("a", 2), put("b")])
    assert (isinstance(late.error, LostError), done) == (True, DONE)


def test_who_always_comes_too_late_gives_up_and_has_waited(client, monkeypatch):
    monkeypatch.setattr(client, "swap", lambda changes: [Late() for _ in changes])
    monkeypatch.setattr("datastore.adapters.contention.SECONDS", 0)
    monkeypatch.setattr("datastore.retry.Backoff.wait", lambda backoff: False)
    with pytest.raises(BackendUnavailableError, match="other writers") as caught:
        client.writer.write([put("k")])
    assert caught.value.waited


# Damaged and foreign documents


@pytest.mark.parametrize("write", [put("k"), restore("k", 1), Delete(id_of("k"), at(1), "first")])
def test_a_document_that_nobody_can_read_is_not_written_over(client, write):
    client.database.damage(id_of("k"))
    (outcome,) = client.writer.write([write])
    assert isinstance(outcome.error, DamagedRecordError)


@pytest.mark.parametrize("foreign", [True, False])
@pytest.mark.parametrize("only_own", [True, False])
def test_it_can_be_removed_unless_only_own_ones_are_to_go(client, foreign, only_own):
    client.database.damage(id_of("k"), foreign=foreign)
    stays = foreign and only_own
    assert client.write(Delete(id_of("k"), at(1), only_own=only_own)) == [Outcome(not stays)]
    assert (id_of("k") in client.database.rows) == stays


def test_one_that_was_met_before_is_removed_in_one_request_if_it_is_still_as_it_was(client):
    client.database.damage(id_of("k"))
    client.writer.write([put("k")])
    client.asked.clear()
    assert client.write(Delete(id_of("k"), at(1))) == [DONE]
    assert client.asked == [SWAP]


def test_one_that_was_met_before_and_mended_since_is_written_over(client, stranger):
    client.database.damage(id_of("k"))
    client.writer.write([put("k")])
    stranger.write(Delete(id_of("k"), at(1)))
    stranger.write(put("k", 2, metadata={"a": 1}))
    assert client.write(put("k", 3)) == [DONE]
    assert client.database.model.documents[id_of("k")].metadata == {"a": 1}


def test_metadata_that_cannot_be_merged_with_is_damage(client, stranger):
    stranger.write(put("k"))
    row = client.database.rows[id_of("k")]
    client.database.rows[id_of("k")] = row._replace(metadata='["no object"]')
    (outcome,) = client.writer.write([put("k", metadata={"a": 1})])
    assert isinstance(outcome.error, DamagedRecordError)


# What is remembered


def test_the_memory_is_bounded_and_forgets_what_was_not_noted_for_longest(client):
    memory = Memory(2)
    client.write(put("a"), put("b"), put("c"))
    for key in "abac":
        memory.note(key, client.database.rows[id_of(key)])
    assert [key for key in "abc" if memory.get(key)] == ["a", "c"]


def test_a_damaged_document_that_is_remembered_is_removed_in_one_request_and_written_over_in_none(client):
    client.database.damage(id_of("k"))
    client.memory.note(id_of("k"), client.database.rows[id_of("k")])
    (outcome,) = client.writer.write([put("k")])
    assert isinstance(outcome.error, DamagedRecordError)
    assert client.asked == [LOAD]
    assert client.write(Delete(id_of("k"), at(1))) == [DONE]
    assert client.asked == [LOAD, SWAP]


def test_neither_values_nor_long_metadata_are_remembered(client):
    client.write(put("a", "value", metadata={"a": 1}), put("b", metadata={"a": "x" * 1_000}))
    client.writer.write([put("a", "other", if_absent=True)])
    short, long = client.memory.get(id_of("a")), client.memory.get(id_of("b"))
    assert (short.source, short.metadata) == (None, '{"a":1}')
    assert (long.source, long.metadata) == (None, None)
    client.asked.clear()
    assert client.write(put("b", 2)) == [DONE]
    assert client.asked == [LOAD, SWAP]


def test_where_tokens_can_be_compared_the_newer_one_stays(client):
    client.write(put("k"))
    old = client.database.rows[id_of("k")]
    client.write(put("k", 2))
    new = client.database.rows[id_of("k")]
    memory = Memory(newer=lambda one, other: one > other)
    for known in (new, old):
        memory.note("k", known)
    assert memory.get("k").token == new.token


def test_absences_are_remembered_where_it_is_wanted():
    memory, other = Memory(absences=True), Memory()
    for one in (memory, other):
        one.note("k", ABSENT)
    assert (memory.get("k"), other.get("k")) == (ABSENT, None)


def test_whether_an_unknown_document_existed_is_learnt_once_and_not_of_ones_own(client, stranger):
    stranger.write(put("a"))
    client.write(put("a", 2), Delete(id_of("b"), at(1)))
    assert client.learnt == {id_of("a"): True, id_of("b"): False}
    client.learnt.clear()
    client.meet([unanswered])
    client.write(put("c"))
    stranger.write(put("a", 3))
    client.write(put("a", 4))
    assert client.learnt == {}


# Marks


def test_a_document_written_by_hand_knows_the_write_that_comes_next(client):
    client.write(put("k", revision="first"))
    row = client.database.rows[id_of("k")]
    client.database.rows[id_of("k")] = row._replace(writes="")
    client.memory.clear()
    mine = put("k", 2, revision="second")
    client.write(mine)
    assert client.database.rows[id_of("k")].writes == mark_of("second") + mark_of("first")
