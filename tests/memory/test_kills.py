"""A process that is killed in the middle of an add, an edit or a set: all of it is there, or nothing."""

import signal
import subprocess
import sys

import pytest

import datastore
from datastore import DataStore
from datastore.conformance.clock import Clock
from datastore.conformance.faults import backend_of
from datastore.memory.changes import GRACE

RIGHT, UP = [1.0, 0.0], [0.0, 1.0]
WRITER = """
import os, signal, sys
import datastore
from datastore.conformance.faults import Wrapped, backend_of
from datastore import DataStore

url, call, place = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Killed(Wrapped):
    writes = 0

    def write(self, writes):
        if self.writes == place:
            os.kill(os.getpid(), signal.SIGKILL)
        self.writes += 1
        return super().write(writes)

with datastore.connect(url) as opened:
    agent = DataStore(Killed(backend_of(opened)), tracking="off").agent("ann", "a")
    match call:
        case "add":
            agent.memory.add("new", key="new", vector=[1.0, 0.0])
        case "edit":
            agent.memory.edit("old", "edited", vector=[1.0, 0.0])
        case "set":
            agent.set("old", "edited", vector=[1.0, 0.0])
        case "delete":
            agent.memory.delete("old")
"""
# The vector, the change that tells of it, and the record; an edit removes the old vector at the end, and so does a
# delete, which begins with the record.
POINTS = {"add": (0, 1, 2), "edit": (0, 1, 2, 3), "set": (0, 1, 2), "delete": (0, 1)}
DONE = {"edit": 3, "delete": 1}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing is killed like this here")
@pytest.mark.parametrize(("call", "place"), [(call, place) for call, places in POINTS.items() for place in places])
def test_a_killed_writer_leaves_all_of_it_or_nothing(tmp_path, call, place):
    clock, url = Clock(), f"sqlite:///{tmp_path}/a.db"
    with datastore.connect(url, clock=clock) as store:
        agent = store.agent("ann", "b")
        agent.memory.add("old", key="old", vector=UP)
        assert [match.key for match in agent.memory.search(RIGHT)] == ["old"]
        ended = subprocess.run([sys.executable, "-c", WRITER, url, call, str(place)], check=False)
        assert ended.returncode == -signal.SIGKILL

        before = [] if call == "delete" and place >= 1 else [("old", "old", 0.0)]
        expected = [("old", "edited", 1.0)] if call == "edit" and place >= DONE["edit"] else before
        with datastore.connect(url, clock=clock) as new:
            for memory in (agent.memory, new.agent("ann", "c").memory):  # with the vectors in memory, and without
                assert [(match.key, match.text, match.score) for match in memory.search(RIGHT)] == expected
                assert [item.key for item in memory.items()] == [key for key, _, _ in expected]

        # What is left does not stand in anybody's way, and goes.
        agent.set("old", "again", vector=RIGHT)
        assert agent.memory.add("new", key="new", vector=RIGHT) == "new"
        assert [match.key for match in agent.memory.search(RIGHT, min_score=0.5)] == ["new", "old"]
        clock.advance(GRACE + 1)
        agent.purge_expired()
        assert vectors_of(store) == 2
        assert [match.key for match in agent.memory.search(RIGHT)] == ["new", "old"]


def vectors_of(store: DataStore) -> int:
    page = backend_of(store).scan(datastore.backend.IdRange("", "~"), datastore.backend.Fields.VALUE, 1_000)
    return sum("vector" in one.value for one in page.documents if isinstance(one.value, dict))
