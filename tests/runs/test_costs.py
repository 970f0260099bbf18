"""What calls cost: that of what they return, however many runs and entries there are."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import datastore
from datastore import AgentDataStore, LeaseHeldError
from datastore.conformance.faults import Wrapped, backend_of
from datastore.runs import keys
from datastore.scope import scope_of
from tests.full import times

MANY = times(3_000, 100_000)


class Counts(Wrapped):
    """Counts the requests, and the documents that were read."""

    requests = documents = 0

    def read(self, *args, **kwargs):
        found = super().read(*args, **kwargs)
        self.requests, self.documents = self.requests + 1, self.documents + len(found)
        return found

    def scan(self, *args, **kwargs):
        page = super().scan(*args, **kwargs)
        self.requests, self.documents = self.requests + 1, self.documents + len(page.documents)
        return page

    def write(self, writes):
        self.requests += 1
        return super().write(writes)


@pytest.fixture
def counted(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", tracking="off") as store:
        counts = Counts(backend_of(store))
        yield datastore.DataStore(counts, tracking="off", max_seconds=600).agent("user", "agent"), counts


def area_of(agent):
    return AgentDataStore(scope_of(agent).area("runs"))


def cost(counts, call):
    before = counts.requests, counts.documents
    result = call()
    return result, counts.requests - before[0], counts.documents - before[1]


def test_due_costs_what_is_due_and_not_what_waits(counted):
    """Many runs wait, with and without a time; one answer comes."""
    agent, counts = counted
    with agent.runs.start("one") as run:
        run.wait_for("approval")
    agent.runs.signal("one", "approval")
    alone = cost(counts, agent.runs.due)
    area, far = area_of(agent), "2999-01-01T00:00:00.000000Z"
    head = {"status": "waiting", "entry": 1, "at": far, "waiting": {"for": "sapproval", "until": far}, "hint": None}
    runs = [f"run {number}" for number in range(MANY)]
    area.set_many({keys.head(run): head for run in runs})
    area.set_many({keys.entry(run, 0): {"kind": "start"} for run in runs})
    area.set_many({keys.hint(far, run): None for run in runs})
    assert cost(counts, agent.runs.due) == alone == (["one"], 2, 2)
    agent.runs.signal("run 7", "approval")
    assert cost(counts, agent.runs.due) == (["one", "run 7"], 2, 4)


def test_a_list_of_a_status_costs_what_it_returns(counted):
    """Many runs are waiting; two of another status are found at once, and a few of those that wait."""
    agent, counts = counted
    for name in ("one", "two"):
        agent.runs.start(name).finish()
    area, far = area_of(agent), "2999-01-01T00:00:00.000000Z"
    head = {"status": "waiting", "entry": 1, "at": far, "waiting": {"for": "sapproval", "until": None}, "hint": None}
    runs = [f"run {number:06}" for number in range(MANY)]
    area.set_many({keys.head(run): head for run in runs})
    area.set_many({keys.listed("waiting", run): far for run in runs})
    found, requests, documents = cost(counts, lambda: agent.runs.list("done"))
    assert ([one.id for one in found], requests, documents) == (["one", "two"], 2, 4)
    found, requests, documents = cost(counts, lambda: agent.runs.list("waiting", limit=3))
    assert [one.id for one in found] == runs[:3]
    assert requests == 2
    assert documents <= 8
    assert len(agent.runs.list("waiting")) == MANY


def test_pruning_before_checkpoints_costs_what_is_removed(counted):
    """Runs whose checkpoints were pruned already, or are too young, cost nothing; entries are not read, only named."""
    agent, counts = counted
    for number in range(20):
        with agent.runs.start(f"run {number}") as run:
            for _ in range(3):
                run.step("step", int)
            run.checkpoint()
            run.wait_for("approval")
    assert cost(counts, lambda: agent.runs.prune(keep=3_600)) == (0, 3, 0)
    agent.runs.prune(keep=0)
    assert cost(counts, lambda: agent.runs.prune(keep=0)) == (0, 3, 0)
    assert [one.kind for one in agent.runs.history("run 7")] == ["checkpoint", "wait"]


def test_a_long_history_is_read_from_its_end(counted):
    """In as many requests as a short one, and so goes a resume from a checkpoint."""
    agent, counts = counted
    run = agent.runs.start("run")
    run.step("first", int)
    run.release()
    area = area_of(agent)
    entries = {keys.entry("run", number): {"kind": "step", "name": "s", "result": 0} for number in range(2, MANY)}
    area.set_many(entries)
    area.set(keys.entry("run", MANY), {"kind": "checkpoint", "state": {"set": {"n": 1}}})
    history, requests, documents = cost(counts, lambda: agent.runs.history("run", limit=10, reverse=True))
    assert [one.number for one in history] == [*range(MANY, MANY - 10, -1)]
    assert (requests, documents) == (2, 11)
    head = area.get(keys.head("run"))
    area.set(keys.head("run"), {**head, "entry": MANY, "checkpoint": MANY})
    run, requests, documents = cost(counts, lambda: agent.runs.resume("run"))
    assert dict(run.state) == {"n": 1}
    assert requests <= 10
    assert documents <= 8
    assert run.step("next", lambda: "new") == "new"


def test_a_step_is_one_request(counted):
    agent, counts = counted
    run = agent.runs.start("run")
    for number in range(3):
        run.state["n"] = number
        assert cost(counts, lambda: run.step("step", int)) == (0, 1, 0)
    assert cost(counts, lambda: run.effect("pay", int)) == (0, 2, 0)


def test_many_branches_at_once(tmp_path):
    """Any worker takes any of them; each is worked on once, and the parent gathers."""
    number, workers = times(40, 500), 8
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", tracking="off", max_seconds=600) as store:

        def program(run):
            base = run.step("base", lambda: 1_000)
            branch = run.branch(number)
            if branch.index is not None:
                return run.step("try", lambda: base + branch.index)
            return sum(run.join(branch.children))

        def go_on(agent, id):
            with suppress(LeaseHeldError), agent.runs.resume(id) as run:
                run.finish(program(run))

        agents = [store.agent("user", f"worker {place}") for place in range(workers)]
        with agents[0].runs.start("run") as run:
            run.finish(program(run))
        with ThreadPoolExecutor(workers) as threads:
            while due := agents[0].runs.due():
                list(threads.map(lambda job: go_on(agents[job[0] % workers], job[1]), enumerate(due)))
        assert agents[0].runs.result("run") == 1_000 * number + number * (number - 1) // 2
        ends = {one.id: one.status for one in agents[0].runs.list()}
        assert len(ends) == number + 1
        assert set(ends.values()) == {"done"}
        resumed = [one for one in agents[0].runs.history("run") if one.kind == "resumed"]
        assert len(resumed) <= 12, "the parent was woken up a few times, not once for each branch"
