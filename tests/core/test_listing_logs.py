"""Listing logs: however many records they have, and whatever happens to them meanwhile."""

from random import Random

import pytest

import datastore
from datastore.backend import Delete, Fields
from datastore.calls import logs
from datastore.conformance.documents import at
from datastore.scope import scope_of


@pytest.fixture
def agent():
    with datastore.connect("memory://") as store:
        yield store.agent("u", "agent")


@pytest.mark.parametrize("at_once", [1, 2, 3, 10, 128])
def test_logs_of_any_length_are_listed_in_order(agent, monkeypatch, at_once):
    monkeypatch.setattr(logs, "_IDS", at_once)
    random = Random(at_once)
    names = [f"{random.choice('abc')}{number}" for number in range(40)]
    for name in names:
        for _ in range(random.choice((1, 1, 2, 9, 30))):
            agent.log(name).append(1)
    for name in names[::3]:
        agent.log(name).clear()
    left = sorted(set(names) - set(names[::3]), key="{}:".format)
    assert agent.list_logs() == left
    assert agent.list_logs("b") == [name for name in left if name.startswith("b")]


def test_a_log_whose_last_record_goes_after_it_was_found_is_listed_if_it_has_another(agent, monkeypatch):
    """It was trimmed by somebody who appended before."""
    for name in ("a", "b", "gone"):
        agent.log(name).append(1)
    backend = scope_of(agent).core.backend
    read = backend.read

    def trimmed(ids, fields):
        if fields is Fields.ALL and len(ids) == 3:
            monkeypatch.setattr(backend, "read", read)
            agent.log("b").append(2)
            for id in ids[:2]:
                backend.write([Delete(id, at(1))])
        return read(ids, fields)

    monkeypatch.setattr(backend, "read", trimmed)
    assert agent.list_logs() == ["a", "b"]
