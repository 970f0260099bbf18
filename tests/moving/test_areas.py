"""What namespaces keep beside their records comes along: blobs whole, logs with numbers, runs with journals."""

import pytest

import datastore
from datastore.moving import copy, export_records, import_records
from datastore.moving.pages import pages
from tests.moving.test_sinks import SERVERS, TARGETS

CONTENT = bytes(range(256)) * 2_000  # two parts


@pytest.fixture
def source():
    with datastore.connect("memory://") as store:
        ann = store.agent("ann", "writer", "notes")
        ann.blobs.put("report", CONTENT, content_type="text/plain")
        ann.log("events").append("begun", "ended", "reported")
        ann.log("events").trim(before=2)
        with ann.runs.start("report", {"year": 2027}) as run:
            run.state["pages"] = run.step("count", lambda: 7)
            run.finish("done")
        with ann.runs.start("waits") as run:
            run.step("first", lambda: "once")
            run.wait_for("approval")
        ann.runs.signal("waits", "approval", "yes")
        ann.lease("nightly", renew=False).data_store.set("fenced", 1)
        ann.use_namespace("texts").memory.add_many({"near": "a", "far": "b"}, vectors=[[1.0, 0.1], [0.1, 1.0]])
        yield store


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.server(name) if name in SERVERS else ()) for name in TARGETS]
)
def sink(request):
    with datastore.connect(TARGETS[request.param]()) as store:
        yield store


def copied(source, target, path):
    copy(source, target)


def exported(source, target, path):
    export_records(source, str(path))
    import_records(str(path), target)


@pytest.mark.parametrize("moved", [copied, exported])
def test_it_is_there_as_it_was(source, sink, moved, tmp_path):
    """On every database, and out of it again. Nobody holds there what somebody holds here."""
    with datastore.connect("memory://") as back:
        moved(source, sink, tmp_path / "all.jsonl")
        moved(sink, back, tmp_path / "again.jsonl")
        for target in (sink, back):
            ann = target.agent("ann", "reader", "notes")
            assert (ann.list_keys(), ann.list_namespaces()) == (["fenced"], ["notes", "texts"])
            assert [one.key for one in ann.use_namespace("texts").memory.search([1.0, 0.0])] == ["near", "far"]
            assert ann.blobs.get("report") == CONTENT
            assert ann.blobs.stat("report").content_type == "text/plain"
            assert [(entry.number, entry.value) for entry in ann.log("events").read()] == [
                (2, "ended"),
                (3, "reported"),
            ]
            assert ann.log("events").append("moved") == 4
            assert ann.runs.result("report") == "done"
            assert ann.runs.history("report") == source.agent("ann", "writer", "notes").runs.history("report")
            assert ann.runs.due() == ["waits"]
            with ann.runs.resume("waits") as run:
                assert run.step("first", lambda: "again") == "once"
                run.finish(run.wait_for("approval"))
            assert ann.runs.result("waits") == "yes"
            ann.set("fenced", 2)
            ann.lease("nightly").release()


def test_a_listing_goes_on_where_it_was_and_leaves_nothing_out(source):
    """After each id of a user, and after one that is in none of the ranges."""
    source.agent("ann", "writer", "notes").set_many({"a": 1, "b": 2})
    ids = [document.id for page in pages(source, "ann") for document in page.documents]
    assert len(ids) > 8
    for number, after in enumerate(ids):
        rest = [document.id for page in pages(source, "ann", after=after) for document in page.documents]
        assert rest == ids[number + 1 :]
    assert [document.id for page in pages(source, "ann", after="ann") for document in page.documents] == ids


@pytest.mark.parametrize("moved", [copied, exported])
def test_vectors_that_come_to_others_are_found(source, moved, tmp_path):
    """By a store that has those of the namespace in memory; also if an earlier move was interrupted before its end."""
    with (
        datastore.connect(f"sqlite:///{tmp_path}/a.db") as target,
        datastore.connect(f"sqlite:///{tmp_path}/a.db") as mover,
    ):
        memory = target.agent("ann", "reader", "texts").memory
        for number in range(4):
            memory.add("x", key=f"own{number}", vector=[0.2, 0.3])
        assert len(memory.search([1.0, 0.0])) == 4
        moved(source, mover, tmp_path / "all.jsonl")
        assert [one.key for one in memory.search([1.0, 0.0], 1)] == ["near"]
        assert len(memory.search([1.0, 0.0])) == 6
        moved(source, mover, tmp_path / "all.jsonl")
        memory.add("x", key="new", vector=[1.0, 0.0])
        assert [one.key for one in memory.search([1.0, 0.0], 2)] == ["new", "near"]
        assert len(memory.search([1.0, 0.0])) == 7
