"""Runs from seeds: the same seed is the same run, and all is well on right adapters."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import datastore
from datastore.conformance.simulation.history import BEGAN
from datastore_couchdb.backend import CouchBackend
from datastore_dynamodb.backend import DynamoBackend
from datastore_firestore.backend import FirestoreBackend
from datastore_redis.backend import RedisBackend
from datastore_sqlite.backend import SqliteBackend
from tests.full import times
from tests.simulation import written
from tests.simulation.__main__ import main
from tests.simulation.faulty import FAULTY
from tests.simulation.playing import BACKENDS, draw, play, shrunk
from tests.simulation.tokens import TokenDatabase
from tests.simulation.written import as_test, call, plan_of, process, thread

ROOT = Path(__file__).parents[2]

SLOW = ("dynamodb", "firestore", "served", "awaited")
"""Through a real client, a server or an event loop, a run takes several times as long."""

DIGEST = """
import hashlib
from tests.simulation.playing import BACKENDS, draw, play
for name, database in BACKENDS.items():
    stories = [play(draw(str(seed), database), database).story() for seed in range(9)]
    print(name, hashlib.sha256("".join(stories).encode()).hexdigest())
"""


def test_the_same_seed_is_the_same_run_in_every_interpreter():
    def digests(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, "-c", DIGEST], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return ran.stdout

    first = digests("1")
    assert first.count("\n") == len(BACKENDS)
    assert digests("2") == first


def test_other_seeds_are_other_runs():
    database = BACKENDS["token"]
    stories = {play(draw(str(seed), database), database).story() for seed in range(5)}
    assert len(stories) == 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_is_well(backend):
    database = BACKENDS[backend]
    few, many = (30, 2_000) if backend in SLOW else (100, 10_000)
    for seed in range(times(few, many)):
        played = play(draw(str(seed), database), database)
        assert not played.wrong, shrunk(played, database).story()
        assert not played.undecided


@pytest.mark.parametrize(
    ("backend", "adapter"),
    [
        ("couchdb", CouchBackend),
        ("sqlite", SqliteBackend),
        ("dynamodb", DynamoBackend),
        ("firestore", FirestoreBackend),
        ("redis", RedisBackend),
    ],
)
def test_a_connection_that_is_left_open_is_found(backend, adapter):
    class ClosesNothing(adapter):
        def close(self):
            pass

    database = partial(BACKENDS[backend], ClosesNothing)
    assert any("connections open" in line for line in play(draw("0", database), database).wrong)


def test_the_command_says_how_many_runs_went_well(capsys):
    assert main(["--runs", "3", "--backend", "memory"]) == 0
    assert capsys.readouterr().out.startswith("3 runs on memory from seed 0: all well")


def test_the_command_tells_the_story_of_a_run_that_goes_wrong(capsys, monkeypatch):
    monkeypatch.setitem(BACKENDS, "faulty", partial(TokenDatabase, FAULTY["an outage for done"]))
    assert main(["--runs", "3", "--backend", "faulty"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("seed 1 goes wrong: ")
    assert "WRONG: " in told
    assert told.endswith("Again: python -m tests.simulation --backend faulty --runs 1 --seed 1\n")


def test_a_run_that_goes_wrong_is_written_as_a_test(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(BACKENDS, "faulty", partial(TokenDatabase, FAULTY["a lost answer counted twice"]))
    assert main(["--seed", "48", "--runs", "1", "--backend", "faulty", "--write-test", str(tmp_path)]) == 1
    (file,) = tmp_path.iterdir()
    assert file.name == "test_faulty_48.py"
    assert f"Written: {file}" in capsys.readouterr().out
    test: dict = {}
    exec(compile(file.read_text(), file, "exec"), test)
    with pytest.raises(AssertionError, match="too many accesses"):
        test["test_all_is_well"]()
    monkeypatch.setitem(BACKENDS, "faulty", TokenDatabase)
    test["test_all_is_well"]()


def test_a_run_that_is_written_down_is_the_same_run(tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr(written, "play", lambda plan, database: plans.append(plan) or play(plan, database))
    for backend, database in BACKENDS.items():
        for seed in range(9):
            played = play(draw(str(seed), database), database)
            test: dict = {}
            exec(as_test(played, backend), test)
            test["test_all_is_well"]()
            assert play(plans[-1], database).story() == played.story()


def test_a_call_that_does_not_look_at_the_clock_is_judged_by_it_all_the_same():
    """A listing looks at the clock only if something that it has found expires, and may be wrong about that."""
    lines = (
        process(0, skew=5.0, tracking="off", flush_interval=1.0),
        thread(0, "ann"),
        call(0, "set", "a", "x", None, pause=0.1),
        call(1, "list_keys", pause=1.0),
    )
    _, listed = (one for one in play(plan_of("0", 0.0, lines), BACKENDS["token"]).world.history if one.process == "p0")
    low, high = (shown / 1e6 - BEGAN - 5.0 for shown in (listed.low, listed.high))
    assert (low, high) == pytest.approx((listed.began, listed.ended), abs=0.001)
    assert low < high


def test_a_store_outside_goes_on_in_real_time():
    """The flushing thread of another store runs during a simulation, and neither disturbs the other."""
    database = BACKENDS["token"]
    alone = play(draw("3", database), database).story()
    with datastore.connect("memory://", flush_interval=0.001) as store:
        data_store = store.agent("ann", "agent")
        data_store.set("key", 1)
        for _ in range(5):
            data_store.get("key")
            assert play(draw("3", database), database).story() == alone
        store.flush()
        assert data_store.get_record("key").access_count == 5
