"""A search with an index that lags behind, and that is full of vectors of records that are gone."""

import pytest

import datastore
from datastore import BackendUnavailableError, ConflictError, Embedder, Item
from datastore.conformance.clock import Clock
from datastore.conformance.faults import backend_of
from datastore.memory import late
from datastore.moving import copy, pages
from tests.memory.lagging import Lagging

NEAR, FAR = [1.0, 0.0], [0.0, 1.0]


@pytest.fixture(name="clock")
def make_clock():
    return Clock()


@pytest.fixture(name="inner")
def open_inner():
    with datastore.connect("memory://") as store:
        yield backend_of(store)


@pytest.fixture(name="index")
def make_index(inner):
    return Lagging(inner)


def memory_of(backend, clock, **options):
    return datastore.DataStore(backend, clock=clock, retry_seconds=0, **options).agent("u", "a").memory


def test_what_this_process_wrote_is_found_before_the_index_has_it(index, clock):
    memory = memory_of(index, clock)
    memory.add("far", key="far", vector=FAR)
    memory.ensure_index()
    memory.add("near", key="near", vector=NEAR)
    index.missing = {id for id, vector in index.for_the_index.items() if vector.endswith(b"\0\0\0\0")}
    assert [one.key for one in memory.search(NEAR, exact=False)] == ["near", "far"]
    memory.edit("near", vector=FAR)
    assert [one.score for one in memory.search(NEAR, exact=False)] == [0.0, 0.0]
    clock.advance(late.SECONDS + 1)
    index.missing = set(index.for_the_index)
    assert memory.search(NEAR, exact=False) == [], "an index may miss what was written a moment ago by others"
    assert len(memory.search(NEAR)) == 2


def test_more_than_is_remembered_is_searched_exactly(index, clock, monkeypatch):
    monkeypatch.setattr(late, "MOST", 8)
    memory = memory_of(index, clock)
    memory.add("far", key="far", vector=FAR)
    memory.ensure_index()
    index.missing = {*map(str, range(0))}
    memory.add_many([Item(f"k{n}", n) for n in range(9)], vectors=[NEAR] * 9)
    assert "last minute" in memory.explain(NEAR, exact=False)["why_exact"]
    clock.advance(late.SECONDS + 1)
    assert not memory.explain(NEAR, exact=False)["exact"]


def test_candidates_whose_records_are_gone_do_not_take_places(index, clock):
    """More are asked for, once; if too few of these count, the search is exact."""
    memory = memory_of(index, clock)
    memory.add_many([Item(f"k{n:02}", n) for n in range(40)], vectors=[NEAR] * 40)
    memory.ensure_index()
    agent = memory_of(index, clock)  # knows of no vector that was written lately
    plain = datastore.DataStore(index, clock=clock).agent("u", "a")
    indexed = list(index.for_the_index)
    keys = {one.record.revision: one.key for one in memory.search(NEAR, 40)}
    nearest = [next(key for rev, key in keys.items() if _ends(id, rev)) for id in indexed]
    order = [key for _, key in sorted(zip(indexed, nearest, strict=True))]
    for key in order[:10]:
        plain.set(key, "replaced")
    index.searches = 0
    assert {one.key for one in agent.search(NEAR, 2, exact=False)} <= set(order[10:])
    assert index.searches == 1 + (len({*order[:12]} - {*order[:10]}) < 2)
    for key in order[10:25]:
        plain.set(key, "replaced")
    assert "gone" in agent.explain(NEAR, 2, exact=False)["why_exact"]
    assert {one.key for one in agent.search(NEAR, 2, exact=False)} <= set(order[25:])


def _ends(id, revision):
    from datastore.ids import encode_key

    return id.endswith(encode_key(f"v{revision}"))


def test_a_writer_who_does_not_know_of_the_declaration_yet_writes_for_the_index_too(inner, clock):
    """It knows the list of changes from a moment ago, and learns of it when it adds to the list."""
    index, others = Lagging(inner), Lagging(inner)
    memory, other = memory_of(index, clock), memory_of(others, clock)
    other.add("a", key="a", vector=FAR)
    assert others.for_the_index == {}
    memory.ensure_index()
    assert len(index.for_the_index) == 1
    other.add("b", key="b", vector=NEAR)
    assert len(others.for_the_index) == 1


def test_an_interrupted_declaration_is_none(index, clock):
    memory = memory_of(index, clock)
    memory.add_many([Item(f"k{n}", n) for n in range(5)], vectors=[NEAR] * 5)
    index.fails = True
    with pytest.raises(BackendUnavailableError):
        memory.ensure_index()
    index.fails = False
    assert "not to the end" in memory.explain(NEAR, exact=False)["why_exact"]
    assert index.searches == 0
    seen = []
    memory.ensure_index(lambda done, total: seen.append((done, total)))
    assert seen == [(5, 5)]
    assert not memory.explain(NEAR, exact=False)["exact"]


def test_two_declarations_at_once_do_not_both_end(index, clock):
    """The vectors that one of them has not written yet would otherwise be searched."""
    memory, other = memory_of(index, clock), memory_of(index, clock)
    memory.add("a", vector=NEAR)
    with pytest.raises(ConflictError, match="call it again"):
        memory.ensure_index(lambda *_: other.ensure_index())
    memory.ensure_index()
    assert not memory.explain(NEAR, exact=False)["exact"]


class Restoring(Lagging):
    """The same database, as the one who moves records sees it."""

    def restore(self, restores):
        return self.inner.restore(restores)


def test_what_was_moved_here_ends_the_declaration(inner, index, clock):
    """An index knows nothing of it."""
    memory = memory_of(index, clock)
    memory.add("far", key="far", vector=FAR)
    memory.ensure_index()
    with datastore.connect("memory://") as source:
        source.agent("u", "a").memory.add("near", key="moved", vector=NEAR)
        copy(source, datastore.DataStore(Restoring(inner), clock=clock))
    assert "declared" in memory.explain(NEAR, exact=False)["why_exact"]
    assert [one.key for one in memory.search(NEAR, exact=False)] == ["moved", "far"]
    memory.ensure_index()
    assert not memory.explain(NEAR, exact=False)["exact"]


@pytest.mark.parametrize("page", [1, 100])
def test_a_declaration_is_not_moved(inner, index, clock, monkeypatch, page):
    """The list of changes is, and its end says that every vector is in the index: in that of the other database."""
    monkeypatch.setattr(pages, "PAGE", page)
    memory = memory_of(index, clock)
    memory.add_many([Item(f"k{n}", n) for n in range(5)], vectors=[NEAR] * 5)
    memory.ensure_index()
    with datastore.connect("memory://") as other:
        sink = Restoring(backend_of(other))
        copy(datastore.DataStore(inner, clock=clock), datastore.DataStore(sink, clock=clock))
        moved = memory_of(sink, clock)
        assert "declared" in moved.explain(NEAR, exact=False)["why_exact"]
        assert len(moved.search(NEAR, exact=False)) == 5


def test_a_namespace_may_be_declared_before_it_has_vectors(index, clock):
    memory = memory_of(index, clock, embedder=Embedder(lambda texts: [NEAR for _ in texts], 2, "near"))
    assert memory.ensure_index() == "vectors-2"
    memory.add("a", key="a")
    assert len(index.for_the_index) == 1
    assert [one.key for one in memory.search("a", exact=False)] == ["a"]
    with pytest.raises(datastore.ConfigurationError, match="no vectors yet"):
        datastore.DataStore(index).agent("u", "a").use_namespace("other").memory.ensure_index()


def test_what_is_embedded_later_is_written_for_the_index_too(index, clock):
    memory = memory_of(index, clock, embedder=Embedder(lambda texts: [NEAR for _ in texts], 2, "near"))
    memory.ensure_index()
    datastore.DataStore(index, clock=clock).agent("u", "a").set("plain", "text")
    assert index.for_the_index == {}
    assert memory.embed(["plain"]) == {"plain": True}
    assert len(index.for_the_index) == 1
    assert [one.key for one in memory.search("a", exact=False)] == ["plain"]


def test_a_search_by_words_is_exact(index, clock):
    """Whatever `exact` says: a record that the index does not find may have the words."""
    memory = memory_of(index, clock, embedder=Embedder(lambda texts: [NEAR for _ in texts], 2, "near"))
    memory.ensure_index()
    memory.add_many({f"k{n}": f"bill {n}" for n in range(30)})
    memory = memory_of(index, clock, embedder=Embedder(lambda texts: [NEAR for _ in texts], 2, "near"))
    index.missing = set(index.for_the_index)
    found = [(one.key, one.score) for one in memory.search("17", 3, keywords=True, exact=False)]
    assert found[0][0] == "k17"
    assert [(one.key, one.score) for one in memory.search("17", 3, keywords=True)] == found
    across = memory.search_across({"default": None}, "17", 3, keywords=True, exact=False)
    assert [(one.key, one.score) for one in across] == found
    explained = memory.explain("17", 3, keywords=True, exact=False)
    assert (explained["exact"], explained["vectors_compared"], explained["records_returned"]) == (True, 30, 3)
    assert "words" in explained["why_exact"]
    assert index.searches == 0


def test_what_was_compared_is_counted_also_if_nothing_was_near_enough(index, clock):
    memory = memory_of(index, clock)
    memory.add_many([Item(f"k{n}", n) for n in range(5)], vectors=[FAR] * 5)
    explained = memory.explain(NEAR, min_score=0.5)
    assert (explained["vectors_compared"], explained["records_returned"]) == (5, 0)
