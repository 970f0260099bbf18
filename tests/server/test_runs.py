"""Runs in requests: what they cost the database, and what nobody may do with another's run."""

from __future__ import annotations

import pytest

from datastore import DataStore, Quota
from datastore.conformance.faults import backend_of
from tests.runs.test_costs import Counts
from tests.server.serving import served

STEP = {"kind": "step", "name": "s", "result": 1, "seconds": 0.5}


def held(opened, **other):
    lease = opened["lease"]
    return {"id": opened["id"], "fence": lease["number"], "handle": lease["handle"], "number": opened["number"]} | other


def append(client, run, entry=STEP, **other):
    return client.call("run_append", held(run, entry=entry) | other)


def read(client, run, **other):
    given = held(run, after=0) | other
    del given["number"]
    return client.call("run_read", given)


def release(client, run, namespace="default"):
    lease = {"namespace": namespace, "name": run["id"], "area": "runs", **run["lease"]}
    return client.call("lease_release", {"leases": [lease]}).result


@pytest.fixture
def run(client):
    return client.call("run_start", {"id": "run", "input": "in"}).result


@pytest.fixture
def other(server, store):
    """Another client with the same rights: of the same user, under another name."""
    return server.client(store.tokens.mint("ann", "other"))


def journal(store):
    return [(one.number, one.kind, one.agent) for one in store.host("ann").runs.history("run")]


def test_an_entry_is_added_after_the_last_one_by_whoever_the_token_names(client, store, run):
    assert append(client, run).status == 200
    assert append(client, run, number=1).status == 200
    assert journal(store) == [(1, "step", "tester"), (2, "step", "tester")]
    assert [one["value"]["result"] for one in read(client, run).items] == [1, 1]
    assert read(client, run, after=1).items[0]["number"] == 2


@pytest.mark.parametrize("forged", [{"handle": "0" * 32}, {"handle": ""}, {"fence": 0}, {"fence": 10**11}])
def test_nobody_ends_reads_or_adds_to_a_run_that_another_holds(client, other, store, run, forged):
    """Not with a forged handle, not with one of another run, and not through another namespace."""
    mine = other.call("run_start", {"id": "mine"}).result
    theirs = {"fence": mine["lease"]["number"], "handle": mine["lease"]["handle"]}
    for false in (forged, theirs):
        for answered in (
            append(other, run, **false),
            append(other, run, {"kind": "end", "status": "done", "result": 1}, **false),
            read(other, run, **false),
            other.call("run_wait", held(run, name="go") | false),
            other.call("run_join", held(run, children=[]) | false),
            other.call("run_begin_children", held(run, at=1) | false),
        ):
            assert (answered.status, answered.error) == (409, "LeaseLostError"), answered.body
        lease = {"number": false.get("fence", run["lease"]["number"]), "handle": false.get("handle", "0" * 32)}
        assert release(other, run | {"lease": lease}) == [False]
    assert other.call("run_resume", {"id": "run"}).error == "LeaseHeldError"
    assert other.call("run_append", held(run, entry=STEP), namespace="elsewhere").error == "LeaseLostError"
    assert append(client, run).status == 200
    assert journal(store) == [(1, "step", "tester")]


def test_a_wrong_number_writes_nothing(client, store, run):
    """Not one that was written already, not one beyond the end, and none after the end of the run."""
    assert append(client, run).status == 200
    assert append(client, run, number=0).error == "LeaseLostError"
    for number in (2, 7, 10**11):
        assert append(client, run, number=number).error == "InvalidValueError"
        assert client.call("run_wait", held(run, name="go", number=number)).error == "InvalidValueError"
    store.host("ann").runs.cancel("run")
    for number in (1, 2):
        assert append(client, run, number=number).error == "RunOverError"
    assert append(client, run, number=3).error == "InvalidValueError"
    assert [kind for _, kind, _ in journal(store)] == ["step", "end"]


def test_whoever_has_released_or_lost_a_run_adds_nothing_to_it(client, other, store, run, monkeypatch):
    assert release(client, run) == [True]
    assert append(client, run).error == "LeaseLostError"
    second = client.call("run_resume", {"id": "run"}).result
    assert append(client, run, number=second["number"]).error == "LeaseLostError"
    now = store._core.clock()
    monkeypatch.setattr(store._core, "clock", lambda: now + 1_000)
    third = other.call("run_resume", {"id": "run"}).result
    for number in (second["number"], third["number"]):
        assert append(client, second, number=number).error == "LeaseLostError"
        assert read(client, second).error == "LeaseLostError"
        assert client.call("run_wait", held(second, name="go", number=number)).error == "LeaseLostError"
    assert append(other, third).status == 200
    assert journal(store) == [(1, "resumed", "tester"), (2, "resumed", "other"), (3, "step", "other")]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"kind": "start"},
        {"kind": "resumed"},
        {"kind": "answer", "name": "go", "payload": "forged"},
        {"kind": "wait", "name": "sgo"},
        {"kind": "join"},
        STEP | {"agent": "somebody"},
        STEP | {"at": "2000-01-01T00:00:00.000000Z"},
        STEP | {"name": ""},
        STEP | {"name": 7},
        STEP | {"seconds": -1},
        STEP | {"attempts": 1},
        STEP | {"state": {"set": []}},
        STEP | {"state": {"removed": [1]}},
        STEP | {"state": {"other": {}}},
        {"kind": "step", "name": "s"},
        {"kind": "effect", "name": "s", "seconds": 0, "result": 1},
        {"kind": "failed", "name": "s", "seconds": 0, "error": "x" * 81},
        {"kind": "end", "status": "cancelled", "result": 1},
        {"kind": "end", "status": "done", "error": "E"},
        {"kind": "end", "status": "failed", "result": 1},
        {"kind": "branch", "children": 0},
        {"kind": "branch", "children": 100_001},
        {"kind": "fork", "child": "a/b", "at": 0},
        {"kind": "fork", "child": "child", "at": 1},
        {"kind": "checkpoint", "state": None, "name": "n"},
    ],
)
def test_an_entry_that_no_run_in_process_could_have_is_refused(client, store, run, entry):
    answered = append(client, run, entry)
    assert answered.status == 400, answered.body
    assert answered.error in ("InvalidValueError", "InvalidNameError", "InvalidNameTypeError")
    assert journal(store) == []


def test_an_effect_is_added_after_its_claim_alone(client, store, run):
    done = {"kind": "effect", "name": "pay", "seconds": 0, "result": 1}
    assert append(client, run, {"kind": "claim", "name": "other"}).status == 200
    assert append(client, run, done, number=1).error == "InvalidValueError"
    assert append(client, run, {"kind": "claim", "name": "pay"}, number=1).status == 200
    release(client, run)
    again = client.call("run_resume", {"id": "run"}).result
    assert append(client, again, done).status == 200
    assert append(client, again, done, number=again["number"] + 1).error == "InvalidValueError"
    assert [kind for _, kind, _ in journal(store)] == ["claim", "claim", "resumed", "effect"]


def test_children_begin_only_where_the_journal_says_so(client, store, run):
    assert append(client, run).status == 200
    for at in (0, 1, 2):
        assert client.call("run_begin_children", held(run, number=1, at=at)).error == "InvalidValueError"
    assert append(client, run, {"kind": "branch", "children": 3}, number=1).status == 200
    for _ in range(2):
        assert client.call("run_begin_children", held(run, number=2, at=2, first=1)).status == 200
    assert [one.id for one in store.host("ann").runs.list()] == ["run", "run~2.1", "run~2.2"]


def test_a_repeat_is_answered_and_not_made_again(client, store, run):
    headers = {"Idempotency-Key": "k" * 32}
    first, again = (client.call("run_append", held(run, entry=STEP), headers=headers) for _ in range(2))
    assert first.body == again.body
    assert first.status == 200
    assert len(journal(store)) == 1


def test_grants_quotas_and_the_list_of_calls_hold(server, store, client, run):
    mint = store.tokens.mint
    reader = server.client(mint("ann", "reader", grants={"default": "read"}))
    stranger = server.client(mint("ann", "stranger", "mine", grants={"mine": "write"}))
    bob = server.client(mint("bob", "tester"))
    for one in (reader, stranger):
        for call, given in (
            ("run_start", {"id": "new"}),
            ("run_resume", {"id": "run"}),
            ("run_append", held(run, entry=STEP)),
            ("run_wait", held(run, name="go")),
            ("run_join", held(run, children=[])),
            ("run_begin_children", held(run, at=1)),
            ("run_read", {key: one for key, one in held(run, after=0).items() if key != "number"}),
            ("run_signal", {"id": "run", "name": "go"}),
            ("run_cancel", {"id": "run"}),
            ("run_prune", {}),
        ):
            assert one.call(call, given, namespace="default").error == "PermissionDeniedError", call
    assert [one["id"] for one in reader.call("run_list").items] == ["run"]
    assert stranger.call("run_list", {}, namespace="default").error == "PermissionDeniedError"
    assert append(bob, run).error in ("LeaseLostError", "NoSuchRunError")
    assert bob.call("run_list").items == []
    assert bob.call("run_history", {"id": "run"}).error == "NoSuchRunError"
    only = server.client(mint("ann", "only", calls=["get"]))
    assert only.call("run_start").status == 403
    small = server.client(mint("ann", "small", "quota", quota=Quota(bytes=5_000)))
    begun = small.call("run_start", {"id": "small"}).result
    assert append(small, begun, STEP | {"result": "x" * 10_000}).error == "QuotaExceededError"


def test_each_request_costs_few_of_the_database(store, tmp_path):
    """One for a step where the process has added the last entry; 3 more where it has not."""
    counts = Counts(backend_of(store))
    counted = DataStore(counts, tracking="off")
    token = counted.tokens.mint("ann", "tester")

    def cost(call):
        before = counts.requests
        answered = call()
        assert answered.status == 200, answered.body
        return counts.requests - before

    with served(counted, tmp_path) as one:
        client = one.client(token)
        opened = client.call("run_start", {"id": "run"}).result
        costs = [cost(lambda number=number: append(client, opened, number=number)) for number in range(3)]
        assert costs == [1, 1, 1]
        assert cost(lambda: read(client, opened)) == 1
        assert cost(lambda: client.call("run_signal", {"id": "run", "name": "go"})) == 2
        assert cost(lambda: client.call("run_wait", held(opened, number=3, name="go"))) <= 4
        assert cost(lambda: append(client, opened, {"kind": "checkpoint", "state": {}}, number=4)) <= 3
        assert cost(lambda: append(client, opened, number=5)) == 1
        assert cost(lambda: client.call("run_wait", held(opened, number=6, name="other"))) <= 7
        assert cost(lambda: client.call("run_due")) == 1
