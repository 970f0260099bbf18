"""A worker dies at every point there is: others go on, and nothing is done twice or forgotten."""

import os
import signal
from contextlib import suppress
from multiprocessing import get_context

import pytest

import datastore
from datastore import KeyExistsError, RunOverError, StepFailedError
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Wrapped, backend_of
from datastore.conformance.topics.runs import (
    DEAD,
    EXPECTED,
    LEASE,
    Dies,
    KilledError,
    World,
    crash_at,
    drive,
    everything,
    go_on,
    listed,
    told,
)
from tests.conformance.test_couchdb import CouchHarness
from tests.conformance.test_dynamodb import MinistackHarness
from tests.conformance.test_firestore import EmulatorHarness
from tests.conformance.test_postgresql import PostgresHarness
from tests.conformance.test_redis import RedisHarness
from tests.full import FULL


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/a.db"])
def test_a_worker_dies_at_each_write(url, after, tmp_path):
    clock = Clock()
    with datastore.connect(url.format(tmp_path), clock=clock, tracking="off", max_seconds=600) as store:
        backend = backend_of(store)

        def wrapped(wrapper, **options):
            return datastore.DataStore(wrapper(backend), clock=clock, **options)

        points = 0
        while crash_at(store.agent("user_1", "agent_1"), wrapped, clock, points, after=after, id=f"run {points}"):
            points += 1
        assert points > 40, "it went through the whole run"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/a.db"])
@pytest.mark.parametrize("call", ["cancel", "retry", "fork"])
def test_who_changes_a_run_from_outside_dies_at_each_write(url, after, call, tmp_path):
    """The change is made or it is not, and whoever repeats it or goes on with the run completes it."""
    clock = Clock()
    with datastore.connect(url.format(tmp_path), clock=clock, tracking="off") as store:
        agent, point, died = store.agent("user", "agent"), 0, True
        runs = agent.runs
        while died:
            id = f"run {point}"
            with suppress(StepFailedError), runs.start(id) as run:
                run.step("one", int)
                if call == "retry":
                    run.step("fails", lambda: 1 / 0)
                run.wait_for("answer")
            dies = Dies(backend_of(store))
            dies.left, dies.after = point, after
            doomed = datastore.DataStore(dies, clock=clock, tracking="off").agent("user", "doomed").runs
            options = {"at": 1, "new_id": f"{id} fork"} if call == "fork" else {}
            died = False
            try:
                getattr(doomed, call)(id, **options)
            except KilledError:
                died = True
                with suppress(RunOverError, KeyExistsError):
                    getattr(runs, call)(id, **options)
            assert listed(agent) == told(agent)
            clock.advance(2 * DEAD)
            if call == "cancel":
                assert runs.get(id).status == "cancelled"
                with pytest.raises(RunOverError, match="cancelled"):
                    runs.resume(id)
            else:
                went_on = id + " fork" if call == "fork" else id
                assert went_on in runs.due()
                with runs.resume(went_on) as run:
                    assert run.step("one", lambda: "again") == 0
                    run.finish(run.step("two", lambda: "new"))
            assert listed(agent) == told(agent)
            point += 1
        assert point > (1 if call == "fork" else 2)


class Diary(World):
    """What the steps have done, in a file: whoever is killed has written it."""

    def __init__(self, path, kill_in=None) -> None:
        super().__init__()
        self._path = path
        self._kill_in = kill_in

    def _note(self, line):
        with self._path.open("a") as file:
            file.write(line + "\n")
        self._kill_in = None if self._kill_in is None else self._kill_in - 1
        if self._kill_in == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def fetch(self, page):
        self._note(f"fetched {page}")
        return super().fetch(page)

    def pay(self):
        self._note("paid")
        return super().pay()

    def find_out(self):
        return "paid" if "paid" in self._path.read_text().split() else self.pay()

    def attempt(self, number):
        self._note(f"tried {number}")
        return super().attempt(number)


class Kills(Wrapped):
    """Kills its process at a write: before it, or after it when the database has answered."""

    def __init__(self, inner, left, after):
        super().__init__(inner)
        self._left, self._after = left, after

    def write(self, writes):
        self._left -= 1
        if self._left < 0 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        outcomes = super().write(writes)
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes


def work(store, diary, clock, id, write=None, after=False):
    """Work on a run until it is over, or until a write kills this process."""
    backend = backend_of(store) if write is None else Kills(backend_of(store), write, after)
    agent = datastore.DataStore(backend, clock=clock, tracking="off").agent("user_1", "doomed")
    with suppress(RunOverError):
        with agent.runs.start(id, "input", lease=LEASE) as run:
            run.finish(everything(run, diary))
        agent.runs.signal(id, "approval", "yes")
        for _ in range(4):
            for one in agent.runs.due():
                go_on(agent, diary, one)


def work_and_die(url, diary, clock, id, *, write=None, after=False):
    """Work on a run in another process until it is killed; return whether it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with datastore.connect(url, clock=clock, tracking="off") as store:
                work(store, diary, clock, id, write, after)
            status = 0
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def work_on_a_server(harness, path, id, write):
    """Work on a run in a process that has just begun."""
    with harness.open(clock=Clock(), tracking="off", max_seconds=600) as store:
        work(store, Diary(path), store._core.clock, id, write, after=write % 2 == 0)


def check(store, path, clock, id):
    """Let another worker go on, and look what came of it."""
    clock.advance(2 * DEAD)
    agent, diary = store.agent("user_1", "agent_1"), Diary(path)
    with suppress(KeyExistsError):
        agent.runs.start(id, "input", lease=LEASE).release()
    assert drive(agent, clock, diary, id) == EXPECTED
    done = path.read_text().split("\n")
    assert done.count("paid") == 1
    assert max(map(done.count, done[:-1])) <= 2
    assert sum(map(done.count, {*done[:-1]})) <= 6, "at most one of five steps was called again"


@pytest.mark.parametrize("after", [False, True])
def test_a_process_is_killed_at_each_write(tmp_path, after):
    """With the real signal, in real processes, on one file."""
    url, clock, point = f"sqlite:///{tmp_path}/a.db", Clock(), int(after)
    killed = True
    while killed:
        path = tmp_path / f"{point}"
        path.touch()
        killed = work_and_die(url, Diary(path), clock, f"run {point}", write=point, after=after)
        with datastore.connect(url, clock=clock, tracking="off", max_seconds=600) as store:
            check(store, path, clock, f"run {point}")
        point += 1 if FULL else 3
    assert point > 40


@pytest.mark.parametrize("note", range(1, 6))
def test_a_process_is_killed_inside_of_each_step(tmp_path, note):
    """The function has done what it does, and nobody is left to keep its result."""
    url, clock, path = f"sqlite:///{tmp_path}/a.db", Clock(), tmp_path / "diary"
    path.touch()
    assert work_and_die(url, Diary(path, kill_in=note), clock, "run")
    with datastore.connect(url, clock=clock, tracking="off", max_seconds=600) as store:
        check(store, path, clock, "run")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(CouchHarness, marks=pytest.mark.server("couchdb")),
        pytest.param(MinistackHarness, marks=pytest.mark.server("dynamodb")),
        pytest.param(EmulatorHarness, marks=pytest.mark.server("firestore")),
        pytest.param(PostgresHarness, marks=pytest.mark.server("postgresql")),
        pytest.param(RedisHarness, marks=pytest.mark.server("redis")),
    ],
)
def test_a_process_is_killed_on_a_server(kind, tmp_path):
    """At some of its writes; SQLite has them all."""
    harness, clock = kind(tmp_path), Clock()
    with harness.open(clock=clock, tracking="off", max_seconds=600) as store:
        for write in (4, 9, 22):
            path = tmp_path / f"{write}"
            path.touch()
            child = get_context("spawn").Process(target=work_on_a_server, args=(harness, path, f"run {write}", write))
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL
            check(store, path, clock, f"run {write}")
    harness.close()
