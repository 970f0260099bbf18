"""Writers whose answers get lost: each write is applied once."""

import random

import pytest

from datastore import OutcomeUnknownError
from datastore.backend import Delete, Touch
from datastore.conformance.documents import at, id_of, put
from datastore.errors import BackendUnavailableError

pytestmark = pytest.mark.server("postgresql")


def test_each_increment_and_append_is_done_once(agent, stranger, wire):
    chance = random.Random(22)
    agent.set_many({"count": 0, "list": []})
    for number in range(60):
        wire.meet(*chance.choices(("unanswered", "unsent"), k=chance.randrange(3)))
        one = chance.choice((agent, stranger))
        if number % 2:
            one.increment("count")
        else:
            one.append("list", number)
    wire.faults.clear()
    assert agent.get_many(["count", "list"]) == {"count": 30, "list": list(range(0, 60, 2))}


def test_a_delete_whose_answer_is_lost_takes_no_later_record(agent, stranger, wire):
    agent.set("k", 1)
    wire.meet("unanswered", "unsent", meanwhile=lambda: None)
    assert agent.delete("k")
    assert not stranger.delete("k")
    stranger.set("k", 2)
    agent.get("k")
    wire.meet("unanswered", meanwhile=lambda: stranger.set("k", 3))
    assert agent.delete("k")
    assert stranger.get("k") == 3


def test_a_pop_whose_answer_is_lost_says_that_nobody_can_tell(agent, stranger, wire):
    stranger.set("k", 1)
    assert wire.of(lambda: agent.get("k")) == 1
    wire.meet(None, "unanswered")
    with pytest.raises(OutcomeUnknownError):
        agent.pop("k")
    assert stranger.get("k") is None


def test_each_of_a_batch_is_done_once(backend, wire):
    wire.meet("unanswered")
    outcomes = backend.write([put(f"k{number}", number) for number in range(50)])
    assert all(outcome.done for outcome in outcomes)
    writes = [Touch(id_of("k1"), at(1), at(99)), Delete(id_of("k2"), at(1)), put("k3", "new")]
    wire.meet("unanswered", "unsent")
    with pytest.raises(BackendUnavailableError):
        backend.write(writes)
    assert [outcome.done for outcome in backend.write(writes)] == [True, True, True]
