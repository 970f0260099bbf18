"""What is in memory is what is stored: by a request that costs the same however much there is."""

import itertools
import math
import os
import random
import subprocess
import sys
import threading

import pytest

import datastore
from datastore import DataStore, Embedder, Item
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Wrapped, backend_of
from datastore.memory import changes, searching, spaces
from datastore.memory.matrix import _ROWS, Matrix
from datastore.memory.vectors import Stored, packed

RIGHT, UP = [1.0, 0.0], [0.0, 1.0]


class Counts(Wrapped):
    """Notes what is asked, and hides what a listing leaves out."""

    def __init__(self, inner):
        super().__init__(inner)
        self.asked = []
        self.hidden = lambda one: False

    def read(self, ids, *args):
        self.asked.append(f"read {len(ids)}")
        return super().read(ids, *args)

    def write(self, writes):
        self.asked.append(f"write {len(writes)}")
        return super().write(writes)

    def scan(self, *args, **kwargs):
        page = super().scan(*args, **kwargs)
        found = [one for one in page.documents if not self.hidden(one.id)]
        self.asked.append(f"scan {len(found)}")
        return page._replace(documents=found)


@pytest.fixture
def backend():
    with datastore.connect("memory://") as store:
        yield backend_of(store)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(backend, clock):
    """Returns another store on the same database, with what it asks."""

    def opened(**options):
        counts = Counts(backend)
        store = DataStore(counts, clock=clock, tracking="off", **options)
        return store.agent("ann", "a").memory, counts

    return opened


def keys(found):
    return [match.key for match in found]


def test_a_search_asks_for_what_is_new_and_for_what_it_returns(opened, clock):
    (mine, asked), (theirs, _) = opened(), opened()
    mine.add_many({f"k{number}": "x" for number in range(300)}, vectors=[UP] * 300)
    assert len(mine.search(RIGHT, 5)) == 5
    asked.asked.clear()
    for _ in range(2):
        assert len(mine.search(RIGHT, 5)) == 5
        assert asked.asked == ["read 7"], "the last change that is known, the next one, and the records"
        asked.asked.clear()
    assert mine.search(RIGHT, min_score=0.5) == []
    assert asked.asked == ["read 2"], "whether there are others that are nearer is asked all the same"
    asked.asked.clear()
    clock.advance(changes.SECONDS)
    assert len(mine.search(RIGHT, 5)) == 5
    assert asked.asked == ["scan 1", "read 5"], "the list from the last change that is known on, which is an empty one"
    asked.asked.clear()
    theirs.add("x", key="new", vector=RIGHT)
    assert keys(mine.search(RIGHT, 1)) == ["new"]
    assert asked.asked == ["read 3", "scan 2", "read 1", "read 1"]
    asked.asked.clear()
    mine.add("x", key="mine", vector=RIGHT)
    assert asked.asked == ["write 1", "write 1", "write 1"]
    asked.asked.clear()
    assert keys(mine.search(RIGHT, 2)) == ["mine", "new"]
    assert asked.asked == ["read 4"], "its own change is known, and its own vectors are not read again"


def test_the_end_of_the_list_is_looked_for_after_some_seconds(opened, clock):
    mine, asked = opened()
    mine.add("x", vector=RIGHT)
    clock.advance(changes.SECONDS + 1)
    asked.asked.clear()
    mine.add("x", vector=RIGHT)
    assert asked.asked == ["scan 1", "write 1", "write 1", "write 1"]


def test_a_change_that_a_listing_has_missed_is_read(opened):
    """A database that does not list at one moment may show a later one and not the one before."""
    (mine, asked), (theirs, _) = opened(), opened()
    mine.add("x", key="k0", vector=RIGHT)
    assert keys(mine.search(RIGHT)) == ["k0"]
    for number in (1, 2, 3):
        theirs.add("x", key=f"k{number}", vector=RIGHT)
    hidden = asked.inner.scan(datastore.backend.IdRange("", "~"), 0, 1_000).documents
    second = sorted(one.id for one in hidden if "vectors" in one.id)[1]
    asked.hidden = lambda one: one == second
    assert keys(mine.search(RIGHT)) == ["k0", "k1", "k2", "k3"]


def test_what_was_cut_off_is_found_all_the_same(opened, clock, monkeypatch):
    """A process that looks again after the beginning of the list is gone compares all vectors."""
    monkeypatch.setattr(changes, "KEPT", 4)
    (mine, asked), (theirs, _) = opened(), opened()
    mine.add("x", key="k00", vector=RIGHT)
    assert keys(mine.search(RIGHT)) == ["k00"]
    for number in range(1, 30):
        clock.advance(changes.GRACE / 10)
        theirs.add("x", key=f"k{number:02}", vector=RIGHT)
    stored = [one.id for one in asked.inner.scan(datastore.backend.IdRange("", "~"), 0, 1_000).documents]
    assert sum("vectors" in id for id in stored) < 30 + 20
    assert keys(mine.search(RIGHT, 100)) == [f"k{number:02}" for number in range(30)]


def test_listings_that_lag_behind_for_good_cost_a_bounded_number_of_requests(opened):
    """What was read is too old each time: it is read again at growing intervals, until the time of the call is over."""
    mine, asked = opened(max_seconds=0.5)
    mine.add("x", vector=RIGHT)
    stored = asked.inner.scan(datastore.backend.IdRange("", "~"), 0, 1_000).documents
    last = max(one.id for one in stored if "vectors" in one.id)
    is_shown = itertools.cycle([True, False])  # to who looks for the last one, and not to who looks for what follows
    asked.hidden = lambda one: one == last and not next(is_shown)
    with pytest.raises((datastore.BackendUnavailableError, datastore.DeadlineExceededError)):
        mine.search(RIGHT)
    assert len(asked.asked) < 60


@pytest.mark.parametrize("number", [1, 7, 40])
@pytest.mark.parametrize(
    "filter",
    [{"part": 3}, {"part": {"$lt": 5}}, {"far": True}, {"part": {"$gte": 0}}, {"part": 99}, {"part": {"$mod": [2, 1]}}],
    ids=["few", "half", "the farthest", "all", "none", "what no index decides"],
)
@pytest.mark.parametrize("url", ["memory://", "sqlite://:memory:"])
def test_whichever_is_looked_at_first_the_answer_is_the_same(monkeypatch, url, number, filter):
    """The nearest, or those that match: what costs less is done, and done otherwise if it was not enough."""
    monkeypatch.setattr(searching, "_MANY", 20)
    monkeypatch.setattr(searching, "_ONE_OF", 1_000)
    chance = random.Random(number)
    with datastore.connect(url) as store:
        agent = store.agent("ann", "a")
        vectors = {f"k{n:03}": [chance.uniform(-1, 1), chance.uniform(-1, 1)] for n in range(300)}
        by_score = sorted(vectors, key=lambda key: -vectors[key][0] / math.hypot(*vectors[key]))
        items = [Item(key, {"part": n % 10, "far": n > 250}) for n, key in enumerate(by_score)]
        agent.memory.add_many(items, vectors=[vectors[key] for key in by_score])
        if url.startswith("sqlite"):
            store.ensure_index(["part"])
        agent.memory.search(RIGHT)
        matching = set(agent.find(filter))
        for _ in range(2):
            expected = [key for key in by_score if key in matching][:number]
            assert keys(agent.memory.search(RIGHT, number, filter=filter)) == expected
            nearest = by_score.pop(0)
            agent.memory.edit(nearest, vector=[-1.0, 0.0])  # its old vector is the nearest, and does not count
            by_score.append(nearest)


def test_vectors_of_records_that_went_long_ago_are_looked_at_once(opened, clock):
    mine, asked = opened()
    agent = mine.add_many({f"k{number}": "x" for number in range(10)}, vectors=[RIGHT] * 10)
    mine.search(RIGHT)
    clock.advance(changes.GRACE + 1)
    store = DataStore(asked.inner, clock=clock)
    store.agent("ann", "a").delete_many(agent[:9])
    assert keys(mine.search(RIGHT, 1)) == ["k9"]
    asked.asked.clear()
    assert keys(mine.search(RIGHT, 1)) == ["k9"]
    assert asked.asked == ["read 3"]


def test_memory_is_bounded_over_all_namespaces(opened, monkeypatch):
    """What was searched longest ago goes first, and is read again when it is searched."""
    mine, asked = opened()
    places = [mine] + [datastore.Memory(mine_scope(mine, f"n{number}")) for number in (1, 2)]
    for place in places:
        place.add_many({f"k{number}": "x" for number in range(50)}, vectors=[RIGHT] * 50)
        place.search(RIGHT)
    held = spaces.spaces_of(datastore.scope.scope_of(mine).core)._spaces
    assert len(held) == 3
    monkeypatch.setattr(spaces, "BYTES", 2 * next(iter(held.values())).matrix.size)
    places[0].search(RIGHT)
    assert [prefix.split("%3A")[1] for prefix in held] == ["n2:", "default:"]
    asked.asked.clear()
    assert len(places[1].search(RIGHT)) == 10
    assert "scan 50" in asked.asked
    assert len(held) == 2
    monkeypatch.setattr(spaces, "BYTES", 1)
    assert len(places[1].search(RIGHT)) == 10
    assert not held


def mine_scope(memory, namespace):
    return datastore.scope.scope_of(memory).within(namespace)


def test_a_matrix_grows_without_being_copied():
    """Rows stay where they are, however many come; what is forgotten is left out, and half of it gone is copied."""
    chance, matrix = random.Random(1), Matrix(3)
    rows = [
        Stored(f"r{n}", f"k{n:05}", "", packed([chance.random() for _ in range(3)], "vector")) for n in range(3 * _ROWS)
    ]
    matrix.add(rows[:10])
    first = matrix._blocks[0]
    for start in range(10, len(rows), 1_000):
        matrix.add(rows[start : start + 1_000])
    assert matrix._blocks[0] is first
    assert [len(block) for block in matrix._blocks] == [_ROWS, _ROWS, 2 * _ROWS]
    query = packed([1.0, 2.0, 3.0], "vector")
    whole = [one for some in matrix.ranked(query, "cosine", 7) for one in some]
    assert len(whole) == len(rows)
    assert whole == sorted(whole, key=lambda one: (-one.score, one.key))
    for some in (rows, rows[::2], rows[:9]):
        wanted = [row.key for row in some]
        assert [one for part in matrix.ranked(query, "cosine", 7, wanted) for one in part] == [
            one for one in whole if one.key in set(wanted)
        ]
    gone = {row.revision for row in rows[: 2 * _ROWS]}
    matrix.forget(gone)
    assert [one[:3] for some in matrix.ranked(query, "cosine", 7) for one in some] == [
        one[:3] for one in whole if one.revision not in gone
    ]
    packed_one = matrix.packed()
    assert len(packed_one) == _ROWS
    assert packed_one.size < matrix.size / 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_searches_while_its_parent_was_adding(tmp_path):
    """What another thread was in the middle of is not in the child."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        memory = store.agent("ann", "a").memory
        memory.add("x", key="k", vector=RIGHT)
        memory.search(RIGHT)
        space = next(iter(store._core.spaces._spaces.values()))
        with space._lock:  # as a thread that the child does not have would hold it
            child = os.fork()
            if child == 0:
                os._exit(0 if keys(memory.search(RIGHT)) == ["k"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_embedder_is_called_outside_every_lock():
    """It may search itself, and others search meanwhile."""
    inner, done = [], threading.Event()

    def function(texts):
        if texts == ["outer"]:
            inner.append(keys(memory.search("inner")))
            thread = threading.Thread(target=lambda: inner.append(keys(memory.search("inner"))))
            thread.start()
            thread.join(60)
            done.set()
        return [RIGHT for _ in texts]

    with datastore.connect("memory://", embedder=Embedder(function, 2, "right")) as store:
        memory = store.agent("ann", "a").memory
        memory.add("x", key="k")
        memory.add("outer", key="l")
        assert done.is_set()
        assert inner == [["k"], ["k"]]


def test_batches_are_as_large_as_the_host_says():
    sizes = []

    def function(texts):
        sizes.append(len(texts))
        return [RIGHT for _ in texts]

    with datastore.connect("memory://", embedder=Embedder(function, 2, "right", batch=4)) as store:
        store.agent("ann", "a").memory.add_many([f"text {number}" for number in range(10)])
    assert sizes == [4, 4, 2]


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import datastore
memory = datastore.connect("memory://").agent("ann", "a").memory
memory.add("x", key="k", vector=[1.0, 0.0])
assert memory.get("k").text == "x"
assert memory.edit("k", metadata={"a": 1})
try:
    memory.search([1.0, 0.0])
except datastore.ConfigurationError as error:
    assert "pip install 'agent-datastore[vectors]'" in str(error), error
else:
    raise AssertionError
"""


def test_numpy_is_imported_by_a_search_alone():
    subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], check=True)
