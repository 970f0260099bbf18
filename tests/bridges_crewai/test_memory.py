"""CrewAI's memory beyond its contract tests: what matches goes first, vectors stay, costs, and whose it is."""

import asyncio
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from crewai.memory.storage.backend import StorageBackend
from crewai.memory.types import MemoryRecord

from datastore import (
    EmbedderError,
    InvalidNameError,
    InvalidValueError,
    PermissionDeniedError,
    UnsupportedError,
    ValueTooLargeError,
)
from datastore.bridges.crewai_memory import DataStoreMemory
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS

NOW = datetime(2026, 1, 1)


def at(angle):
    """A vector at an angle, in degrees, from the one that is asked for."""
    return [math.cos(math.radians(angle)), math.sin(math.radians(angle))]


def memory(id, angle=None, scope="/", minutes=0, **more):
    embedding = None if angle is None else at(angle)
    return MemoryRecord(id=id, content=f"content of {id}", scope=scope, embedding=embedding,
                        created_at=NOW + timedelta(minutes=minutes), **more)  # fmt: skip


@pytest.fixture
def backend(data_store):
    return DataStoreMemory(data_store)


def found(backend, **more):
    return [one.id for one, _ in backend.search(at(0), **more)]


@ON_SERVERS
def test_what_matches_is_chosen_before_the_nearest(backend):
    near = [memory(f"near {n}", n / 10, scope="/other", categories=["x"]) for n in range(60)]
    far = [memory(f"far {n}", 60 + n, scope="/mine/deep", categories=["y", "z"], metadata={"a.b": 1}) for n in range(3)]
    backend.save(near + far)
    expected = ["far 0", "far 1", "far 2"]
    assert found(backend, scope_prefix="/mine", limit=5) == expected
    assert found(backend, categories=["no", "z"], limit=5) == expected
    assert found(backend, metadata_filter={"a.b": 1}, limit=2) == expected[:2]
    assert found(backend, metadata_filter={"a.b": 1, "$c": 1}, limit=2) == []
    assert found(backend, min_score=0.5, scope_prefix="/mine/deep/") == ["far 0"]
    assert found(backend, limit=2) == ["near 0", "near 1"]
    assert found(backend, limit=0) == backend.search([]) == []
    ((_, score),) = backend.search(at(0), scope_prefix="mine", limit=1)
    assert score == pytest.approx(0.5, abs=1e-6)
    assert isinstance(backend, StorageBackend)


@ON_SERVERS
def test_an_update_without_a_vector_keeps_the_one_that_is_there(backend):
    backend.save([memory("m", 0)])
    loaded = backend.get_record("m")
    assert loaded.embedding is None
    backend.update(loaded.model_copy(update={"scope": "/moved", "source": "me"}))
    assert found(backend, scope_prefix="/moved") == ["m"]
    assert backend.get_record("m").source == "me"
    backend.update(loaded.model_copy(update={"source": None}))
    assert backend.get_record("m").source is None
    backend.update(loaded.model_copy(update={"content": "another"}))
    assert found(backend) == [], "the vector was that of another content"
    backend.update(memory("new", 10))
    backend.save([memory("new", 20), memory("plain"), memory("new", 30), memory("third", 40)])
    assert found(backend) == ["new", "third"]
    assert backend.count() == 4


def test_times_and_scopes_are_kept_alike_however_they_are_given(backend):
    zone = timezone(timedelta(hours=5))
    aware = memory("aware").model_copy(update={"created_at": datetime(2026, 1, 1, 6, tzinfo=zone)})
    backend.save([memory("naive"), aware, memory("late", minutes=90), memory("odd", scope=" a//b/ ")])
    assert backend.get_record("aware").created_at == datetime(2026, 1, 1, 1)
    assert backend.get_record("naive").created_at == NOW
    assert [one.id for one in backend.list_records()][:2] == ["late", "aware"]
    assert backend.get_record("odd").scope == "/a/b"
    assert backend.list_scopes("/a/") == ["/a/b"]
    assert backend.list_scopes("/a/b") == []
    assert backend.delete(older_than=datetime(2026, 1, 1, 1, 10, tzinfo=UTC)) == 3
    assert backend.delete(record_ids=["late", "none"], older_than=NOW) == 0
    assert backend.delete(record_ids=[]) == 0
    assert backend.delete() == 1


def test_what_was_used_says_when(backend, store):
    backend.save([memory("m", 0), memory("other", 90)])
    before = backend.get_record("m").last_accessed
    backend.search(at(0), limit=1)
    between = backend.get_record("m").last_accessed
    asyncio.run(DataStoreMemory(store.agent("ann", "b").asynchronous).asearch(at(0), limit=1))
    backend.touch_records(["m", "none"])
    assert before < between < backend.get_record("m").last_accessed
    assert backend.get_record("other").last_accessed < between


def test_vectors_of_another_model_are_refused_and_nothing_is_stored(backend):
    backend.save([memory("m", 0)])
    with pytest.raises(EmbedderError, match="2 dimensions"):
        backend.save([MemoryRecord(id="n", content="n", embedding=[1.0, 2.0, 3.0])])
    assert backend.count() == 1
    for wrong, error in (
        (memory("n").model_copy(update={"metadata": {"a": {1}}}), InvalidValueError),
        (memory("n").model_copy(update={"metadata": {"a": float("nan")}}), InvalidValueError),
        (memory("n").model_copy(update={"metadata": {"a": "x" * 20_000}}), ValueTooLargeError),
        (memory(""), InvalidNameError),
    ):
        with pytest.raises(error):
            backend.save([wrong])
    backend.save([memory("x" * 900, 0)])
    assert backend.get_record("x" * 900).id == "x" * 900


def test_users_and_namespaces_have_memories_of_their_own(backend, store, data_store):
    backend.save([memory("m", 0)])
    assert data_store.list_keys() == []
    assert data_store.use_namespace("default:crewai").get("m") == "content of m"
    for other in (store.agent("bob", "assistant"), store.agent("ann", "assistant", "other")):
        assert DataStoreMemory(other).count() == 0
    reader = DataStoreMemory(store.agent("ann", "reader", grants={"default:crewai": "read"}))
    assert found(reader) == ["m"]
    with pytest.raises(PermissionDeniedError):
        reader.save([memory("n", 0)])
    data_store.use_namespace("default:crewai").set("strange", "x", {"format": 2})
    with pytest.raises(UnsupportedError, match="'strange' is not of format 1"):
        backend.get_record("strange")


def test_more_than_a_page_is_deleted_by_what_matches(backend):
    backend.save([memory(f"m{n}", categories=["even" if n % 2 == 0 else "odd"]) for n in range(1_203)])
    assert backend.delete(categories=["even"], record_ids=[f"m{n}" for n in range(10)]) == 5
    assert backend.delete(categories=["even"]) == 597
    assert backend.list_categories() == {"odd": 601}


@ON_SERVERS
def test_what_calls_cost(place, url):
    with counted(place, url) as asked:
        backend = DataStoreMemory(asked.store.agent("ann", "assistant"))
        backend.save([memory(f"m{n}", n) for n in range(40)])
        backend.search(at(0))
        costs = {
            "get_record": (1, lambda: backend.get_record("m1")),
            "touch": (1, lambda: backend.touch_records([f"m{n}" for n in range(40)])),
            "search": (2, lambda: backend.search(at(0), limit=5)),
            "save": (7, lambda: backend.save([memory(f"n{n}", n) for n in range(10)])),
            "delete": (2, lambda: backend.delete(record_ids=[f"n{n}" for n in range(10)])),
        }
        for call, (most, made) in costs.items():
            assert asked.by(made) <= most, call
