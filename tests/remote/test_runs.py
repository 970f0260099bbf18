"""Runs of an agent in a sandbox: what leaves it, and a server that is killed in the middle of a run."""

import datetime
import os

import pytest

import datastore
from datastore import (
    BackendUnavailableError,
    DataStoreError,
    LeaseHeldError,
    OutcomeUnknownError,
    RunWaitingError,
    ValueTooLargeError,
)
from datastore.runs.steps import MOST_TOGETHER
from datastore.server import ServerLimits, create_app
from tests.full import FULL
from tests.remote.processes import ServerProcess
from tests.remote.serving import serving

LEASE = 2.0
"""Seconds. Nothing is decided by them: whoever finds the run held asks again."""


@pytest.fixture
def made(requests):
    """Return a function that makes a call, and returns the requests that it made."""

    def made(call):
        requests.clear()
        call()
        return list(requests)

    return made


def test_each_call_makes_few_requests(data_store, made):
    runs = data_store.runs
    opened = []
    assert made(lambda: opened.append(runs.start("run", {"a": 1}))) == ["run_start"]
    (run,) = opened
    assert made(lambda: run.step("step", int)) == ["run_append"]
    assert made(lambda: run.effect("pay", int)) == ["run_append", "run_append"]
    assert made(run.checkpoint) == ["run_append"]
    assert made(lambda: run.fork(id="fork")) == ["run_append", "run_begin_children"]
    assert made(lambda: run.branch(2)) == ["run_append", "run_begin_children"]
    for other in ("one", "two"):
        runs.start(other).finish()
    assert made(lambda: run.join(["one", "two"])) == ["run_join", "run_ends"]
    assert made(lambda: runs.signal("run", "go", 7)) == ["run_signal"]
    assert made(lambda: run.wait_for("go")) == ["run_wait"]
    assert made(run.history) == ["run_history"]
    with pytest.raises(RunWaitingError):
        made(lambda: run.wait_for("other"))
    assert made(lambda: runs.resume("run").release()) == ["run_resume", "run_read", "lease_release"]
    for name, arguments in (
        ("get", ["run"]),
        ("list", ["waiting"]),
        ("due", []),
        ("history", ["run"]),
        ("cancel", ["run"]),
        ("retry", ["run"]),
        ("prune", []),
    ):
        assert made(lambda name=name, arguments=arguments: getattr(runs, name)(*arguments)) == [f"run_{name}"]
    assert made(lambda: runs.fork("run", at=1)) == ["run_fork"]
    with runs.start("end") as run:
        assert made(lambda: run.finish("result")) == ["run_append", "lease_release"]
    assert made(lambda: runs.result("end")) == ["run_result"]


def test_what_cannot_be_sent_is_refused_here(data_store, made):
    run = data_store.runs.start("run")
    for call in (
        lambda: data_store.runs.start("other", {1}),
        lambda: data_store.runs.start("other", ttl=object()),
        lambda: data_store.runs.resume("other", lease=object()),
        lambda: data_store.runs.signal("run", "go", object()),
        lambda: data_store.runs.prune(keep=object()),
        lambda: run.step("a", object),
        lambda: run.step("a", lambda: "x" * 1_000_001),
    ):

        def refused(call=call):
            with pytest.raises(DataStoreError):
                call()

        assert made(refused) == []
    run.state["large"] = "x" * 100_000
    assert run.step("a", lambda: "x" * 800_000) == "x" * 800_000
    with pytest.raises(ValueTooLargeError):
        run.step("b", lambda: "x" * 1_000_000)
    assert run.step("c", int) == 0


def test_a_server_that_takes_less_than_a_result_says_so_and_the_run_goes_on(store):
    """Its bodies are smaller than the largest result; what does not fit is refused before it is sent."""
    limits = ServerLimits(body_bytes=200_000)
    url = serving(os.getpid()).add(create_app(store, limits=limits))
    try:
        with datastore.connect(url, token=store.tokens.mint("ann", "planner")) as data_store:
            run = data_store.runs.start("run")
            for call in (
                lambda: run.step("a", lambda: "x" * 300_000),
                lambda: run.finish("x" * 300_000),
                lambda: data_store.set("key", "x" * 300_000),
            ):
                with pytest.raises(ValueTooLargeError, match="200,000"):
                    call()
            assert run.step("b", lambda: "x" * 100_000) == "x" * 100_000
            run.finish("y" * 150_000)
            assert data_store.runs.result("run") == "y" * 150_000
    finally:
        serving(os.getpid()).remove(url)


def test_times_are_sent_as_seconds(data_store):
    hour = datetime.timedelta(hours=1)
    with data_store.runs.start("run", ttl=hour, lease=hour) as run:
        run.wait_for("go", timeout=hour)
    info = data_store.runs.get("run")
    assert datetime.timedelta(minutes=59) < info.until - info.created_at <= hour + datetime.timedelta(minutes=1)
    assert data_store.runs.prune(keep=hour) == 0


def test_a_long_journal_is_read_in_pages_as_the_program_goes_on(data_store, made):
    number = MOST_TOGETHER + 10
    run = data_store.runs.start("run")
    for one in range(number):
        run.step("step", lambda one=one: one)
    run.release()
    opened = []
    assert made(lambda: opened.append(data_store.runs.resume("run"))) == ["run_resume", "run_read"]
    (run,) = opened
    assert made(lambda: [run.step("step", int) for _ in range(number)]) == ["run_read"]
    assert not run.is_replaying


def test_writes_of_a_run_are_fenced_by_its_lease(data_store, store, monkeypatch):
    """And by another lease that the run was begun under."""
    run = data_store.runs.start("run", lease=30)
    run.data_store.set("key", "first")
    now = store._core.clock()
    monkeypatch.setattr(store._core, "clock", lambda: now + 1_000)
    second = store.agent("ann", "other").runs.resume("run")
    second.data_store.set("key", "second")
    for call in (lambda: run.data_store.set("key", "late"), lambda: run.step("late", int)):
        with pytest.raises(datastore.LeaseLostError):
            call()
    assert data_store.get("key") == "second"


@pytest.mark.parametrize("after", range(7) if FULL else (2, 4))
def test_the_server_is_killed_in_the_middle_of_a_run(tmp_path, after):
    """The program goes on where it was, on a new server: nothing that was kept is done again, the effect took place
    once, and what is not known is asked for."""
    server = ServerProcess(tmp_path)
    server.start()
    with datastore.connect(server.database) as store:
        token = store.tokens.mint("ann", "worker")
    done, paid, calls = [], [], iter(range(10**6))

    def work(number):
        if next(calls) == after:
            server.kill()
            server.start()
        done.append(number)
        return number

    def pay():
        work("pay")
        paid.append(1)
        return "paid"

    def program(run):
        total = 0
        for number in range(4):
            total += run.step("work", work, number)
            run.state["total"] = total
        assert run.effect("pay", pay, unknown=lambda: "paid" if paid else pay()) == "paid"
        run.checkpoint()
        return run.step("end", work, 4) + run.state["total"]

    try:
        with datastore.connect(server.url, token=token, retry_seconds=60) as data_store:
            result = None
            while result is None:
                try:
                    if data_store.runs.get("run") is None:
                        run = data_store.runs.start("run", lease=LEASE)
                    else:
                        run = data_store.runs.resume("run", lease=LEASE)
                    with run:
                        result = program(run)
                        run.finish(result)
                except (BackendUnavailableError, OutcomeUnknownError, LeaseHeldError):
                    continue
            assert data_store.runs.result("run") == result == 10
            kinds = [one.kind for one in data_store.runs.history("run") if one.kind != "resumed"]
    finally:
        server.kill()
    assert kinds == ["step"] * 4 + ["claim", "effect", "checkpoint", "step", "end"]
    assert len(paid) == 1
    assert len(done) <= 7, "at most one of six functions was called again"
