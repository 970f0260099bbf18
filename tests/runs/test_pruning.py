"""Pruning dies at every write there is, and runs beside those who fork: no run loses what it needs."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import datastore
from datastore import InvalidValueError
from datastore.backend import Delete
from datastore.conformance.faults import Wrapped, backend_of
from datastore.conformance.topics.runs import Dies, KilledError
from datastore.ids import encode_key


def work(run, steps):
    """Go through a program that checkpoints, and return what its state says at the end."""
    run.state.setdefault("n", 0)
    while run.state["n"] < steps:
        run.state["n"] += run.step("step", lambda: 1)
        run.checkpoint(every=4)
    return run.state["n"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/a.db"])
def test_pruning_dies_at_each_write(url, after, tmp_path):
    with datastore.connect(url.format(tmp_path), tracking="off") as store:
        runs = store.agent("user", "agent").runs
        point, died = 0, True
        while died:
            run = runs.start(f"run {point}")
            work(run, 10)
            run.release()
            with runs.start(f"parent {point}") as parent:
                parent.step("one", int)
                child = parent.fork()
            dies = Dies(backend_of(store))
            dies.left, dies.after = point, after
            try:
                datastore.DataStore(dies, tracking="off").agent("user", "doomed").runs.prune(keep=0)
                died = False
            except KilledError:
                runs.prune(keep=0)
            with runs.resume(f"run {point}") as run:
                assert len(runs.history(run.id)) <= 5
                assert work(run, 13) == 13
            with runs.resume(child) as run:
                assert run.step("one", lambda: "again") == 0
            while runs.prune(keep=0):
                pass
            assert runs.list() == []
            point += 1
        assert point > 3


class ForksAndDies(Wrapped):
    """Lets somebody fork a run just before its head is removed, and dies after that, before it looks who needs it."""

    def __init__(self, inner, fork):
        super().__init__(inner)
        self._fork, self._dead = fork, False

    def write(self, writes):
        if self._dead:
            raise KilledError
        if self._fork is not None and isinstance(writes[0], Delete) and writes[0].id.endswith(encode_key("h/run")):
            fork, self._fork = self._fork, None
            fork()
            self._dead = True
        return super().write(writes)


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/a.db"])
def test_a_fork_that_was_begun_while_a_prune_died_keeps_what_it_needs(url, tmp_path):
    """The next prune finds no head, as it does of a run that is half removed, and the fork that needs it."""
    with datastore.connect(url.format(tmp_path), tracking="off") as store:
        runs = store.agent("user", "agent").runs
        with runs.start("run") as run:
            run.step("one", int)
            run.finish("result")
        dies = ForksAndDies(backend_of(store), lambda: runs.fork("run", at=1, new_id="fork"))
        with pytest.raises(KilledError):
            datastore.DataStore(dies, tracking="off").agent("user", "doomed").runs.prune(keep=0)
        assert runs.get("run") is None
        assert runs.prune(keep=0) == 0
        assert (runs.get("run").status, runs.result("run")) == ("done", "result")
        with runs.resume("fork") as run:
            assert run.step("one", lambda: "again") == 0
        while runs.prune(keep=0):
            pass
        assert runs.list() == []


def test_forks_beside_pruning_have_what_they_need_or_are_refused(tmp_path):
    """From outside and at any entry; those that were begun go on from there."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", tracking="off", max_seconds=600) as store:
        runs = store.agent("user", "agent").runs
        run = runs.start("run")

        def fork(number):
            with suppress(InvalidValueError):
                return runs.fork("run", at=number)

        def prune(_):
            runs.prune(keep=0)

        forks = []
        with ThreadPoolExecutor(4) as threads:
            for target in range(10, 90, 10):
                work(run, target)
                jobs = [fork, prune] * 6
                last = run.number
                forks += threads.map(lambda job, last=last: job[1](last - job[0]), enumerate(jobs))
        begun = [id for id in forks if id is not None]
        assert begun
        for id in begun:
            with runs.resume(id) as child:
                assert work(child, 100) == 100
        run.release()
        with runs.resume("run") as run:
            assert work(run, 100) == 100
