"""Memory by meaning: exact on every backend, filtered before the nearest are chosen, and never stale."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args
from zlib import crc32

import pytest

from datastore import (
    AgentDataStore,
    BatchError,
    ConfigurationError,
    ConflictError,
    DataStore,
    Embedder,
    EmbedderError,
    InvalidValueError,
    Item,
    KeyExistsError,
    Match,
    PermissionDeniedError,
    QueryError,
    UnsupportedError,
)
from datastore.backend import Document, Fields
from datastore.conformance.clock import Clock
from datastore.conformance.faults import LosesAnswers, Untouchable, Wrapped, backend_of
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.ids import area_prefix, encode_name, key_range, namespace_prefix
from datastore.memory.changes import GRACE
from datastore.memory.items import Metric

SIZE = 24
METRICS: tuple[Metric, ...] = get_args(Metric)


def words(texts: list[str]) -> list[list[float]]:
    """Return for each text how often it has the words of each of `SIZE` kinds."""
    vectors = []
    for text in texts:
        vector = [0.01] * SIZE
        for word in text.split():
            vector[crc32(word.encode()) % SIZE] += 1
        vectors.append(vector)
    return vectors


async def awaited_words(texts: list[str]) -> list[list[float]]:
    """Return what `words` returns."""
    return words(texts)


WORDS = Embedder(words, SIZE, "words")


def score(one: Iterable[float], other: Iterable[float], metric: str) -> float:
    """Return how alike two vectors are, when they are stored as float32."""
    a, b = array("f", one), array("f", other)
    if metric == "euclidean":
        return -math.dist(a, b)
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return product / (math.hypot(*a) * math.hypot(*b)) if metric == "cosine" else product


def kept(store: DataStore, namespace: str = "default", kind: str = "v") -> list[Document]:
    """Return the documents of the vectors of a namespace, or with ``kind`` "w" of its list of changes."""
    home = namespace_prefix(encode_name("user_1", "user_id"), encode_name(namespace, "namespace"))
    found, after = list[Document](), None
    while True:
        page = backend_of(store).scan(key_range(area_prefix(home, "vectors"), kind), Fields.VALUE, 100, after)
        found += page.documents
        if page.after is None:
            return found
        after = page.after


def same(found: list[Match], expected: list[tuple[float, str]]) -> None:
    """Compare what was found with the scores and keys that were to be found."""
    assert [one.key for one in found] == [key for _, key in expected]
    for one, (its_score, _) in zip(found, expected, strict=True):
        assert math.isclose(one.score, its_score, rel_tol=1e-9, abs_tol=1e-9)


class Memories(Topic):
    """``data_store.memory``."""

    @pytest.fixture
    def store(self, open_store: Opener) -> DataStore:
        """Return an open store with an embedder."""
        return open_store(embedder=WORDS)

    def test_what_is_added_is_found_by_meaning(self, data_store: AgentDataStore) -> None:
        """The match has the text, the metadata, the record with its provenance, and the score."""
        memory = data_store.memory
        key = memory.add("a cat sat on a mat", {"lang": "en"})
        memory.add_many({"dog": "dogs bark"})
        (found,) = memory.search("cat mat", 1)
        assert (found.key, found.text, found.metadata) == (key, "a cat sat on a mat", {"lang": "en"})
        assert found.record.created_by_agent == "agent_1"
        record = data_store.get_record(key)
        assert record is not None
        assert found.record.revision == record.revision
        (a, b) = words(["cat mat", "a cat sat on a mat"])
        assert math.isclose(found.score, score(a, b, "cosine"), rel_tol=1e-9)
        assert data_store.get(key) == "a cat sat on a mat"
        assert [item.text for item in memory.items()] == [value for _, value in sorted(data_store.get_all().items())]
        item = memory.get("dog")
        assert item is not None
        assert (item.key, item.text) == ("dog", "dogs bark")
        assert memory.get("none") is None

    def test_the_embedder_may_be_a_coroutine_function(self, open_store: Opener) -> None:
        """It makes the same vectors."""
        memory = open_store(embedder=Embedder(awaited_words, SIZE, "words")).agent("user_1", "agent_1").memory
        memory.add_many({"cat": "a cat", "dog": "a dog"})
        assert [one.key for one in memory.search("cat", 1)] == ["cat"]

    @pytest.mark.parametrize("metric", METRICS)
    def test_search_is_brute_force(self, store: DataStore, wrapped: Wrapper, clock: Clock, metric: Metric) -> None:
        """Whatever is added, edited, removed, stored without a vector and expires, in two stores on one database."""
        stores = [store, wrapped(Wrapped, embedder=WORDS)]
        agents = [store.agent("user_1", "agent_1") for store in stores]
        chance, there = random.Random(metric), dict[str, tuple[list[float], int, float | None]]()

        def vector() -> list[float]:
            return [chance.choice((-2.0, -1.0, 0.0, 0.5, 1.0)) for _ in range(SIZE - 1)] + [0.25]

        def change(agent: AgentDataStore) -> None:
            memory, keys = agent.memory, sorted(there)
            kind = chance.choice(("add", "add", "many", "edit", "delete", "plain", "forgotten"))
            key = chance.choice(keys) if keys and kind not in ("add", "many") else f"k{chance.randrange(10**6)}"
            if kind in ("add", "many"):
                number, ttl = 1 if kind == "add" else 9, chance.choice((None, None, 100))
                items = {f"{key}-{place}": (vector(), chance.randrange(3)) for place in range(number)}
                memory.add_many(
                    [Item(one, {"p": p}) for one, (_, p) in items.items()],
                    vectors=[v for v, _ in items.values()],
                    ttl=ttl,
                )
                until = None if ttl is None else clock() + ttl
                there.update({one: (v, p, until) for one, (v, p) in items.items()})
            elif kind == "edit" and keys:
                v = vector()
                _, p, until = there[key]
                assert memory.edit(key, {"p": p}, vector=v)
                there[key] = v, p, until
            elif kind == "delete" and keys:
                assert memory.delete(key)
                del there[key]
            elif keys:
                _ = agent.set(key, {"p": 0}) if kind == "plain" else agent.delete(key)
                del there[key]

        def expected(query: list[float], n: int, p: int | None) -> list[tuple[float, str]]:
            now = clock()
            live = [(key, v) for key, (v, its, until) in there.items() if (until or now + 1) > now and p in (None, its)]
            return sorted(((score(query, v, metric), key) for key, v in live), key=lambda one: (-one[0], one[1]))[:n]

        for turn in range(14):
            change(chance.choice(agents))
            change(chance.choice(agents))
            if turn == 9:
                clock.advance(50)
                there = {k: one for k, one in there.items() if one[2] is None or one[2] > clock()}
            query = vector()
            for agent in agents:
                n, p = chance.choice((1, 3, 1000)), chance.choice((None, 1))
                found = agent.memory.search(query, n, filter=None if p is None else {"p": p}, metric=metric)
                # Sums are rounded differently here and there: what is as near as that may change places.
                exact = expected(query, n, p)
                assert len(found) == len(exact)
                for one, (its_score, _) in zip(found, exact, strict=True):
                    assert math.isclose(one.score, its_score, rel_tol=1e-9, abs_tol=1e-9)
                    assert math.isclose(score(query, there[one.key][0], metric), one.score, rel_tol=1e-9, abs_tol=1e-9)
        clock.advance(100)
        left = {key for key, (_, _, until) in there.items() if until is None or until > clock()}
        assert {one.key for one in agents[0].memory.search(vector(), 1000)} == left

    def test_a_filter_comes_before_the_nearest(self, data_store: AgentDataStore) -> None:
        """As many as asked for are found if there are as many that match, however far they are."""
        memory = data_store.memory
        memory.add_many({f"near {number}": "cat cat cat" for number in range(20)}, {"kind": "near"})
        memory.add_many({f"far {number}": "dog" for number in range(3)}, {"kind": "far"})
        found = memory.search("cat", 2, meta={"metadata.kind": "far"})
        assert [one.key for one in found] == ["far 0", "far 1"]
        assert len(memory.search("cat", 10, meta={"metadata.kind": "far"})) == 3
        assert memory.search("cat", meta={"metadata.kind": "none"}) == []

    def test_an_index_finds_what_counts_or_is_not_used(self, store: DataStore, wrapped: Wrapper, clock: Clock) -> None:
        """Where the database has one: nothing that was replaced, removed, or has expired; and scores are exact."""
        memory, chance = store.agent("user_1", "agent_1").memory, random.Random(20)
        other = wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_2")

        def vectors(number: int) -> list[list[float]]:
            return [[chance.gauss(0, 1) for _ in range(SIZE)] for _ in range(number)]

        query = vectors(1)[0]

        def compared() -> float:
            """Return which part of the nearest the index finds, after a look at whether it may return what it does."""
            exact = {one.key: one.score for one in memory.search(query, 1_000)}
            found = memory.search(query, 10, exact=False)
            assert [(one.key, one.score) for one in found] == sorted(
                ((one.key, exact[one.key]) for one in found), key=lambda one: (-one[1], one[0])
            )
            assert len(found) == min(10, len(exact))
            return len({one.key for one in found} & set(list(exact)[:10])) / len(found)

        memory.add_many([Item(f"k{number:02}", number) for number in range(60)], vectors=vectors(60))
        assert memory.explain(query, exact=False)["why_exact"], "no index was declared"
        assert compared() == 1.0
        other.memory.add(0, key="before", vector=query)  # so it knows the list of changes for some seconds
        try:
            name = memory.ensure_index()
        except UnsupportedError:
            assert memory.explain(query, exact=False)["exact"]
            assert compared() == 1.0
            return
        assert memory.ensure_index() == name, "it is declared already"
        other.memory.add(0, key="after", vector=query)
        assert memory.explain(query, exact=False) == {
            "backend": store.backend.name,
            "exact": False,
            "why_exact": None,
            "vectors_compared": memory.explain(query, exact=False)["vectors_compared"],
            "many": False,
            "records_returned": 10,
        }
        assert {one.key for one in memory.search(query, 2, exact=False)} == {"before", "after"}
        parts = [compared()]
        memory.add_many([Item(f"l{number:02}", number) for number in range(20)], vectors=vectors(20), ttl=100)
        parts.append(compared())
        for one in memory.search(query, 12):
            change = chance.choice((other.delete, memory.delete, lambda key: other.set(key, 1)))
            change(one.key)
        assert memory.edit("k00", 7, vector=query) or not memory.get("k00")
        parts.append(compared())
        clock.advance(200)
        parts.append(compared())
        assert sum(parts) / len(parts) >= 0.9, parts
        assert memory.explain(query, 1_001, exact=False)["why_exact"]
        assert memory.explain(query, exact=False, meta={"key": "k01"})["why_exact"]
        memory.reembed()
        assert memory.explain([1.0] * SIZE, exact=False)["why_exact"], "vectors made anew are not in the index"

    def test_equal_scores_are_in_the_order_of_keys(self, data_store: AgentDataStore) -> None:
        """Also where the limit falls among them, and wherever they are in memory."""
        memory = data_store.memory
        keys = [f"k{number:03}" for number in range(90)]
        chance = random.Random(3)
        memory.add_many(dict.fromkeys(chance.sample(keys, len(keys)), "one two three"))
        memory.add("something else", key="a")
        assert [one.key for one in memory.search("two", 40)] == keys[:40]
        assert len({one.score for one in memory.search("two", 90)}) == 1

    def test_a_record_counts_as_it_is_now(self, data_store: AgentDataStore, clock: Clock) -> None:
        """A plain ``set`` stores a value without a vector; what was removed or has expired is found by nothing."""
        memory = data_store.memory
        memory.add_many(dict.fromkeys("abcd", "cat"))
        memory.add("cat", key="e", ttl=10)
        assert [one.key for one in memory.search("cat")] == [*"abcde"]
        data_store.set("a", "cat")
        data_store.delete("b")
        data_store.touch("c", ttl=5)
        data_store.touch("e", ttl=100)
        clock.advance(20)
        assert [one.key for one in memory.search("cat")] == ["d", "e"]
        assert [one.key for one in memory.search("cat", meta={"key": {"$lt": "e"}})] == ["d"]
        data_store.clear()
        assert memory.search("cat") == []
        memory.add("cat", key="a")
        assert [one.key for one in memory.search("cat")] == ["a"]

    def test_a_search_counts_an_access_for_each_match(self, store: DataStore, data_store: AgentDataStore) -> None:
        """And `get` one; what is listed and not found is not counted."""
        memory = data_store.memory
        memory.add_many({"a": "cat", "b": "dog"})
        memory.search("cat", 1)
        memory.search_across({"default": 1}, "cat", 1)
        memory.get("a")
        list(memory.items())
        store.flush()
        counts = {record.key: record.access_count for record in data_store.iter_records()}
        assert counts == {"a": 3, "b": 0}

    def test_any_value_may_have_a_vector(self, open_store: Opener) -> None:
        """Beside others that have none; without an embedder, too."""
        agent = open_store().agent("user_1", "agent_1")
        agent.set("plain", {"a": 1})
        agent.memory.add({"a": 2}, key="near", vector=[1, 0])
        agent.memory.add(None, key="far", vector=array("d", [-1.0, 0.5]))
        found = agent.memory.search([2, 0])
        assert [(one.key, one.text, one.record.value) for one in found] == [
            ("near", None, {"a": 2}),
            ("far", None, None),
        ]
        assert [one.key for one in agent.memory.search([2, 0], min_score=0)] == ["near"]
        assert [item.key for item in agent.memory.items()] == ["far", "near", "plain"]
        with pytest.raises(ConfigurationError, match="no embedder"):
            agent.memory.search("text")
        with pytest.raises(ConfigurationError, match="no embedder"):
            agent.memory.add("text")

    def test_set_may_give_a_vector(self, open_store: Opener, wrapped: Wrapper, clock: Clock) -> None:
        """It belongs to what is stored with it: the one before is found no more, and without one the record is not."""
        store = open_store(clock=clock)
        agent = store.agent("user_1", "agent_1")
        agent.set("other", {"a": 0}, vector=[0.0, 1.0])
        first = agent.set("k", {"a": 1}, {"lang": "en"}, vector=[1, 0])
        (found,) = agent.memory.search([1, 0], min_score=0.9)
        assert (found.key, found.record.value, found.metadata, found.record.revision) == (
            "k", {"a": 1}, {"lang": "en"}, first,
        )  # fmt: skip
        second = agent.set("k", [2], if_revision=first, vector=array("f", [-1.0, 0.5]), ttl=60)
        assert agent.memory.search([1, 0], min_score=0.9) == []
        assert [(one.key, one.record.revision) for one in agent.memory.search([-1, 0], 1)] == [("k", second)]
        with pytest.raises(ConflictError):
            agent.set("k", 3, if_revision=first, vector=[1.0, 0.0])
        with pytest.raises(EmbedderError, match="dimensions"):
            agent.set("k", 3, vector=[1.0, 0.0, 0.0])
        assert agent.get("k") == [2]
        assert agent.memory.search([1, 0], min_score=0.9) == []
        clock.advance(61)
        assert [one.key for one in agent.memory.search([-1, 0])] == ["other"]
        agent.set("other", {"a": 1})
        assert agent.memory.search([0, 1]) == []
        untouched = wrapped(Untouchable).agent("user_1", "agent_1")
        wrong = {"0 dimensions": [], r"vector\[1\] is not": [1.0, math.nan], "zero": [0, 0], "a str": "x"}
        for message, vector in wrong.items():
            with pytest.raises(InvalidValueError, match=f"vector.*{message}|^{message}"):
                untouched.set("k", 1, vector=vector)

    def test_an_edit_embeds_what_has_changed_alone(self, open_store: Opener) -> None:
        """A new text is embedded, and new metadata is not; expiry and creator stay."""
        asked = list[str]()

        def counted(texts: list[str]) -> list[list[float]]:
            asked.extend(texts)
            return words(texts)

        store = open_store(embedder=Embedder(counted, SIZE, "words"))
        data_store, another = store.agent("user_1", "agent_1"), store.agent("user_1", "agent_2")
        data_store.memory.add("cat", {"a": 1, "b": 1}, key="k", ttl=60)
        before = data_store.get_record("k")
        assert another.memory.edit("k", metadata={"a": 2, "b": None})
        assert another.memory.edit("k", "cat")
        assert asked == ["cat"]
        assert another.memory.edit("k", "dog", {"c": 3})
        assert asked == ["cat", "dog"]
        assert not another.memory.edit("none", "dog")
        (found,) = data_store.memory.search("dog")
        assert before is not None
        assert (found.text, found.metadata) == ("dog", {"a": 2, "c": 3})
        assert (found.record.created_by_agent, found.record.expires_at) == ("agent_1", before.expires_at)
        assert math.isclose(found.score, 1.0)
        assert len(kept(store)) == 1

    def test_no_edit_is_lost(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Of several at once, each is there in the end, and the record has one vector."""
        data_store.memory.add("cat", key="k")
        with ThreadPoolExecutor(4) as pool:
            done = pool.map(lambda number: data_store.memory.edit("k", metadata={f"m{number}": number}), range(8))
            assert all(done)
        (found,) = data_store.memory.search("cat")
        assert found.metadata == {f"m{number}": number for number in range(8)}
        assert len(kept(store)) == 1

    def test_what_is_no_vector_is_refused(self, wrapped: Wrapper) -> None:
        """Before any request; the message names the place, and none of the numbers."""
        memory = wrapped(Untouchable, embedder=WORDS).agent("user_1", "agent_1").memory
        good = [1.5] * SIZE
        for vector, message in (
            ([*good[1:], math.nan], r"vector\[23\] is not a finite number"),
            ([math.inf, *good[1:]], r"vector\[0\] is not a finite number"),
            ([1e300, *good[1:]], r"vector\[0\] is not a finite number"),
            ([0.0] * SIZE, "vector is a zero vector"),
            (good[1:], "vector has 23 dimensions; it must have 24"),
            ([*good[1:], "1.5"], r"vector\[23\] is a str"),
            ([*good[1:], True], r"vector\[23\] is a bool"),
            (["1.5"] * SIZE, r"vector\[0\] is a str"),
            ("text", "vector is a str"),
            (7, "vector is an int"),
        ):
            calls: list[Any] = [
                lambda v=vector: memory.add("text", vector=v),
                lambda v=vector: memory.edit("k", vector=v),
            ]
            calls += [] if isinstance(vector, str) else [lambda v=vector: memory.search(v)]
            for call in calls:
                with pytest.raises(
                    InvalidValueError, match=message.replace("vector", "(text_or_)?vector", 1)
                ) as caught:
                    call()
                assert "1.5" not in str(caught.value)
        with pytest.raises(InvalidValueError, match=r"vectors?\[1\] has 2 dimensions"):
            memory.add_many(["a", "b"], vectors=[good, [1, 2]])

    def test_wrong_arguments_are_refused(self, wrapped: Wrapper) -> None:
        """Before any request, and before anything is embedded."""
        memory: Any = wrapped(Untouchable, embedder=WORDS).agent("user_1", "agent_1").memory
        values: list[tuple[Any, str]] = [
            (lambda: memory.add(7), "text is an int; give text, or a vector"),
            (lambda: memory.add_many("text"), "texts is a str"),
            (lambda: memory.add_many(["text", 7]), r"texts\[1\] is an int"),
            (lambda: memory.add_many(["a"], vectors=[]), "vectors has 0 vectors for 1 texts"),
            (lambda: memory.add_many([Item("k", "a"), Item("k", "b")]), "a key more than once"),
            (lambda: memory.edit("k"), "give what is to be changed"),
            (lambda: memory.search("a", None), "n is None"),
            (lambda: memory.search("a", "7"), "n is a str; it must be an int"),
            (lambda: memory.search("a", min_score="x"), "min_score is a str"),
            (lambda: memory.search("a", keywords="yes"), "keywords is a str; it must be True or False"),
            (lambda: memory.search("a", exact=0), "exact is an int; it must be True or False"),
            (lambda: memory.explain("a", exact=None), "exact is a NoneType; it must be True or False"),
            (lambda: memory.search_across({}, "a"), "namespaces is empty"),
            (lambda: memory.search_across(["legal"], "a"), "namespaces is a list"),
            (lambda: memory.reembed(7), "progress is an int"),
            (lambda: memory.ensure_index(7), "progress is an int"),
        ]
        for call, message in values:
            with pytest.raises(InvalidValueError, match=message):
                call()
        queries: list[tuple[Any, str]] = [
            (lambda: memory.search("a", 0), "n is 0; it must be at least 1"),
            (lambda: memory.search("a", metric="near"), "metric is 'near'; it must be one of 'cosine'"),
            (lambda: memory.search("a", filter={"$near": 1}), "near"),
            (lambda: memory.search_across({"legal": -1}, "a"), r"namespaces\['legal'\] is -1"),
        ]
        for call, message in queries:
            with pytest.raises(QueryError, match=message):
                call()

    def test_an_embedder_that_fails_stores_nothing(self, open_store: Opener) -> None:
        """Whatever is wrong with it, there is one kind of error, and the cause is chained."""
        made: Any = None

        def broken(texts: list[str]) -> Any:
            if isinstance(made, Exception):
                raise made
            return made

        store = open_store(embedder=Embedder(broken, SIZE, "broken"))
        data_store, good = store.agent("user_1", "agent_1"), [1.0] * SIZE
        for made, message in (
            (ZeroDivisionError("secret"), "failed with ZeroDivisionError"),
            ([good, good], "returned 2 vectors for 1 texts"),
            ([], "returned 0 vectors for 1 texts"),
            (None, "returned a NoneType"),
            ([good[1:]], r"vectors\[0\] has 23 dimensions; it must have 24"),
            ([[math.nan, *good[1:]]], r"vectors\[0\]\[0\] is not a finite number"),
        ):
            for call in (lambda: data_store.memory.add("a"), lambda: data_store.memory.search("a")):
                with pytest.raises(EmbedderError, match=message) as caught:
                    call()
                assert "secret" not in str(caught.value)
                assert isinstance(caught.value.__cause__, ZeroDivisionError) is isinstance(made, Exception)
        assert data_store.list_keys() == []
        assert kept(store) == kept(store, kind="w") == []
        made = [good]
        data_store.memory.add("a", key="k")
        made = OSError()
        with pytest.raises(EmbedderError):
            data_store.memory.edit("k", "b")
        assert data_store.get("k") == "a"

    def test_another_model_is_refused(self, data_store: AgentDataStore, wrapped: Wrapper) -> None:
        """By its name or its size, when something is written and when it is searched; `reembed` is the cure."""
        data_store.memory.add_many({"cat": "a cat", "dog": "a dog"})
        for other in (Embedder(words, SIZE, "other"), Embedder(lambda texts: [[1.0, 2.0]] * len(texts), 2, "words")):
            agent = wrapped(Wrapped, embedder=other).agent("user_1", "agent_1")
            calls: list[Any] = [
                lambda memory=agent.memory: memory.add("x"),
                lambda memory=agent.memory: memory.edit("cat", "x"),
                lambda memory=agent.memory: memory.search("x"),
            ]
            for call in calls:
                with pytest.raises(EmbedderError, match=r"'words' with 24 dimensions.*memory\.reembed\(\)"):
                    call()
            assert data_store.get_all() == {"cat": "a cat", "dog": "a dog"}

    def test_reembedding_goes_on_where_it_was_interrupted(self, data_store: AgentDataStore, wrapped: Wrapper) -> None:
        """Until it is complete no search is answered; then others search with the new model, and not with the old."""
        old = data_store
        texts = {f"k{number:03}": f"word{number}" for number in range(250)}
        old.memory.add_many(texts)
        old.memory.add({"a": 1}, key="value", vector=[1.0] * SIZE)
        old.delete("k000")
        assert old.memory.search("word7", 1)[0].key == "k007"
        calls = 0

        def turned(texts: list[str]) -> list[list[float]]:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise OSError("interrupted")
            return [[*vector, 0.5] for vector in words(texts)]

        turning = Embedder(turned, SIZE + 1, "turned", batch=100)
        new = wrapped(Wrapped, embedder=turning).agent("user_1", "agent_1")
        with pytest.raises(EmbedderError, match="failed with OSError"):
            new.memory.reembed()
        for agent in (old, new):
            with pytest.raises(EmbedderError, match=r"reembed\(\)"):
                agent.memory.search("word7", 1)
        told = list[tuple[int, int]]()
        first = new.memory.reembed(lambda done, total: told.append((done, total)))
        assert 0 < first < 249
        assert told[-1] in ((250, 250), (251, 251))
        assert [one.key for one in new.memory.search("word7", 1)] == ["k007"]
        assert {one.key for one in new.memory.search("word7", 1000)} == set(texts) - {"k000"}
        assert new.memory.reembed() == 0
        with pytest.raises(EmbedderError, match="'turned' with 25"):
            old.memory.search("word7", 1)
        with pytest.raises(EmbedderError, match="'turned' with 25"):
            old.memory.add("late")
        new.memory.edit("k007", metadata={"a": 1})
        assert new.memory.search("word7", 1)[0].metadata == {"a": 1}

    def test_guaranteed_places(self, data_store: AgentDataStore) -> None:
        """Each namespace gets its own first, the rest goes to the nearest left over, and all are in one order."""
        for name, text in (("legal", "far far far"), ("support", "cat far"), ("engineering", "cat")):
            memory = data_store.use_namespace(name).memory
            memory.add_many({f"{name} {number}": text for number in range(6)})

        def found(places: dict[str, int | None], n: int) -> list[str]:
            return [one.key for one in data_store.memory.search_across(places, "cat", n)]

        everywhere: dict[str, int | None] = {"legal": 3, "support": 2, "engineering": None}
        legal, support = [f"legal {n}" for n in range(6)], [f"support {n}" for n in range(6)]
        engineering = [f"engineering {n}" for n in range(6)]
        assert found(everywhere, 10) == [*engineering[:5], *support[:2], *legal[:3]]
        assert found(everywhere, 1) == [*support[:2], *legal[:3]]
        assert found(everywhere, 12) == [*engineering, *support[:3], *legal[:3]]
        assert found({"legal": 9, "none": 4, "engineering": None}, 5) == [*engineering, *legal]
        assert found({"legal": None, "engineering": None}, 2) == engineering[:2]
        one = data_store.memory.search_across({"legal": 1}, "cat", 1)[0]
        assert one.record.namespace == "legal"

    def test_grants_are_those_of_the_namespace(self, store: DataStore) -> None:
        """Also for what another agent's search has brought into memory."""
        store.agent("user_1", "agent_1", "secret").memory.add("cat", key="k")
        store.agent("user_1", "agent_1", "shared").memory.add("cat", key="k")
        assert store.agent("user_1", "agent_1", "secret").memory.search("cat")
        agent = store.agent("user_1", "agent_2", "shared", grants={"shared": "read"})
        assert [one.key for one in agent.memory.search("cat")] == ["k"]
        secret = store.agent("user_1", "agent_2", "secret", grants={"shared": "read"})
        calls: list[Any] = [
            lambda: agent.memory.add("dog"),
            lambda: agent.memory.edit("k", "dog"),
            lambda: agent.memory.delete("k"),
            lambda: agent.memory.search_across({"shared": None, "secret": 1}, "cat"),
            lambda: secret.memory.search("cat"),
            lambda: secret.memory.get("k"),
            lambda: list(secret.memory.items()),
        ]
        for call in calls:
            with pytest.raises(PermissionDeniedError):
                call()
        assert len(kept(store, "shared")) == 1

    def test_users_and_namespaces_are_apart(self, store: DataStore) -> None:
        """A search finds what is in its own namespace of its own user."""
        store.agent("user_1", "agent_1", "a").memory.add("cat", key="mine")
        store.agent("user_1", "agent_1", "b").memory.add("cat", key="other")
        store.agent("user_2", "agent_1", "a").memory.add("cat", key="others")
        assert [one.key for one in store.agent("user_1", "agent_1", "a").memory.search("cat")] == ["mine"]
        assert store.agent("user_1", "agent_1", "c").memory.search("cat") == []

    def test_what_a_batch_could_not_add_is_told(self, store: DataStore, data_store: AgentDataStore) -> None:
        """By key; the others are there, and no vector is left of it."""
        data_store.set("taken", 1)
        with pytest.raises(BatchError) as caught:
            data_store.memory.add_many({"new": "cat", "taken": "cat"})
        assert {key: type(error) for key, error in caught.value.outcomes.items()} == {
            "new": type(None),
            "taken": KeyExistsError,
        }
        with pytest.raises(KeyExistsError):
            data_store.memory.add("cat", key="taken")
        assert [one.key for one in data_store.memory.search("cat")] == ["new"]
        assert len(kept(store)) == 1

    def test_what_several_add_at_once_is_found(self, data_store: AgentDataStore, wrapped: Wrapper) -> None:
        """By another store, which has read the namespace before: of those who add at one moment, none hides another."""
        memory, other = data_store.memory, wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_1").memory
        memory.add("cat", key="first")
        assert len(other.search("cat")) == 1

        def add(number: int) -> None:
            for place in range(4):
                memory.add("cat", key=f"k{number}-{place}")
                assert f"k{number}-{place}" in {one.key for one in memory.search("cat", 100)}

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(4)))
        assert len(other.search("cat", 100)) == len(memory.search("cat", 100)) == 17

    def test_a_lost_answer_adds_nothing_twice(self, wrapped: Wrapper) -> None:
        """Whichever of its writes it was."""
        stores = list[LosesAnswers]()

        def loses(inner: Any) -> LosesAnswers:
            stores.append(LosesAnswers(inner))
            return stores[0]

        store = wrapped(loses, embedder=WORDS)
        memory = store.agent("user_1", "agent_1").memory
        for place in range(3):
            stores[0].lost = place + 1
            memory.add("cat", key=f"k{place}")
        assert [one.key for one in memory.search("cat")] == ["k0", "k1", "k2"]
        assert len(kept(store)) == len(kept(store, kind="w")) == 3
        for place in range(3):
            stores[0].lost = place + 1
            store.agent("user_1", "agent_1").set(f"k{place}", 1, vector=words(["dog"])[0])
        assert [one.key for one in memory.search("dog", min_score=0.99)] == ["k0", "k1", "k2"]
        assert len(kept(store, kind="w")) == 6

    def test_forgetting_a_user_leaves_nothing(self, store: DataStore, wrapped: Wrapper) -> None:
        """Another store, which has its vectors in memory, finds what is added afterwards, and nothing else."""
        stores = [store, wrapped(Wrapped, embedder=WORDS)]
        one, other = (store.agent("user_1", "agent_1") for store in stores)
        one.memory.add_many({f"k{number}": "cat" for number in range(3)})
        assert len(other.memory.search("cat")) == 3
        stores[0].forget("user_1")
        assert kept(stores[0]) == kept(stores[0], kind="w") == []
        assert other.memory.search("cat") == one.memory.search("cat") == []
        one.memory.add("cat", key="k1")
        assert [match.key for match in other.memory.search("cat")] == ["k1"]

    def test_vectors_that_do_not_count_are_purged(
        self, store: DataStore, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """Those of records that were replaced, removed or have expired, an hour later; `delete` removes its own."""
        data_store.memory.add_many(dict.fromkeys("abcd", "cat"))
        data_store.memory.add("cat", key="e", ttl=10)
        data_store.memory.delete("a")
        assert len(kept(store)) == 4
        data_store.delete("b")
        data_store.set("c", "cat")
        clock.advance(20)
        assert [one.key for one in data_store.memory.search("cat")] == ["d"]

        def purged() -> int:
            data_store.purge_expired()
            return len(kept(store))

        assert purged() == 4
        clock.advance(GRACE)
        assert purged() == 1
        assert [one.key for one in data_store.memory.search("cat")] == ["d"]

    def test_namespaces_and_listings_do_not_show_vectors(self, data_store: AgentDataStore) -> None:
        """There are the records, and nothing else."""
        data_store.memory.add("cat", key="k")
        assert data_store.list_keys() == ["k"]
        assert data_store.list_namespaces() == ["default"]
        assert data_store.count() == 1
        assert data_store.namespace_stats()[0].records == 1
