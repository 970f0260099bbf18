"""Search by meaning and by words: names and numbers are found, with one order on every database."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, Match, Memory, QueryError
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable, Wrapped
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.conformance.topics.memory import WORDS
from datastore.memory.fusing import DEPTH
from datastore.memory.keywords import words_of


def by_hand(memory: Memory, texts: dict[str, str], query: str, n: int) -> list[tuple[str, float]]:
    """Return keys and scores, written down from the definitions: BM25, and the fusion of ranks."""
    counted = {key: Counter(words_of(text)) for key, text in texts.items()}
    average = sum(one.total() for one in counted.values()) / len(texts)
    asked = sorted(set(words_of(query)))
    often = {word: sum(word in one for one in counted.values()) for word in asked}

    def bm25(key: str) -> float:
        one, total = counted[key], 0.0
        for word in asked:
            frequency = one[word] * (1.2 + 1) / (one[word] + 1.2 * (1 - 0.75 + 0.75 * one.total() / average))
            total += math.log(1 + (len(texts) - often[word] + 0.5) / (often[word] + 0.5)) * frequency
        return total

    depth = max(n, DEPTH)
    near = [one.key for one in memory.search(query, depth)]
    worded = sorted((key for key in texts if bm25(key) > 0), key=lambda key: (-bm25(key), key))[:depth]
    fused = dict.fromkeys((*near, *worded), 0.0)
    for keys in (near, worded):
        for rank, key in enumerate(keys, 1):
            fused[key] += 1 / (60 + rank)
    return sorted(fused.items(), key=lambda one: (-one[1], one[0]))[:n]


def same_fused(found: list[Match], expected: list[tuple[str, float]]) -> None:
    """Compare what was found with the keys and scores that were to be found."""
    assert [one.key for one in found] == [key for key, _ in expected]
    for one, (_, its_score) in zip(found, expected, strict=True):
        assert math.isclose(one.score, its_score, rel_tol=1e-12)


class Keywords(Topic):
    """``memory.search(..., keywords=True)``."""

    @pytest.fixture
    def store(self, open_store: Opener) -> DataStore:
        """Return an open store with an embedder."""
        return open_store(embedder=WORDS)

    def test_names_and_numbers_are_found_by_their_words(self, data_store: AgentDataStore) -> None:
        """Though by meaning they are like everything, or nothing."""
        memory = data_store.memory
        memory.add_many({f"k{number:03}": f"invoice INV-{number * 7919:06}/B was paid" for number in range(80)})
        assert memory.search("332598", 1, keywords=True)[0].key == "k042"
        assert memory.search("Is there 332598?", 1, keywords=True)[0].key == "k042"
        memory.add("Die STRASSE von Zoë Ünal kostet 3.14", key="a zoe")
        for query in ("straße", "ZOË", "ünal", "3.14", "ｚｏë"):
            assert memory.search(query, 1, keywords=True)[0].key == "a zoe", query
        memory.add("東京都の天気", key="a tokyo")
        assert memory.search("東京", 1, keywords=True)[0].key == "a tokyo"
        assert memory.search("!?", 1, keywords=True), "a text without words has a meaning"

    def test_the_order_is_the_one_of_the_definitions(self, data_store: AgentDataStore, wrapped: Wrapper) -> None:
        """After edits and deletions, in two stores on one database; equal scores are in the order of keys."""
        other = wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_2")
        chance, texts = random.Random(5), dict[str, str]()
        vocabulary = [f"w{number}" for number in range(30)]

        def text() -> str:
            return " ".join(chance.choices(vocabulary, range(30, 0, -1), k=chance.randrange(1, 9)))

        for turn in range(8):
            agent = (data_store, other)[turn % 2]
            new = {f"k{turn}-{number:02}": text() for number in range(12)}
            agent.memory.add_many(new)
            texts |= new
            for key in chance.sample(sorted(texts), 2):
                texts[key] = text()
                agent.memory.edit(key, texts[key])
            query = text()
            for one in (data_store, other):
                same_fused(one.memory.search(query, 7, keywords=True), by_hand(one.memory, texts, query, 7))
        key = min(texts)
        data_store.memory.delete(key)
        del texts[key]
        same_fused(data_store.memory.search("w0 w1", 60, keywords=True), by_hand(data_store.memory, texts, "w0 w1", 60))

    def test_a_record_is_found_by_the_words_that_it_has_now(self, data_store: AgentDataStore, clock: Clock) -> None:
        """And by none if it has no vector, was removed, or has expired."""
        memory = data_store.memory
        memory.add_many({"a": "apple", "b": "apple", "c": "apple", "d": "pear", "e": "apple"})
        memory.add("apple", key="f", ttl=10)
        assert {one.key for one in memory.search("apple", 5, keywords=True)} == set("abcef")
        memory.edit("a", "plum")
        data_store.set("b", "apple")
        data_store.delete("c")
        clock.advance(20)
        found = memory.search("apple", 9, keywords=True)
        assert [one.key for one in found[:1]] == ["e"]
        assert {one.key for one in found} == set("ade")
        assert memory.search("plum", 1, keywords=True)[0].key == "a"
        memory.embed(["b"])
        assert [one.key for one in memory.search("apple", 2, keywords=True)] == ["b", "e"]

    def test_a_filter_comes_before_the_ranks(self, data_store: AgentDataStore) -> None:
        """What does not match has no rank, however many it is."""
        memory = data_store.memory
        memory.add_many({f"near {number:03}": "cat 77" for number in range(2 * DEPTH)}, {"kind": "near"})
        memory.add_many({"far 1": "dog", "far 2": "dog 77"}, {"kind": "far"})
        found = memory.search("cat 77", 5, meta={"metadata.kind": "far"}, keywords=True)
        assert [one.key for one in found] == ["far 2", "far 1"]
        assert math.isclose(found[0].score, 2 / 61)
        assert math.isclose(found[1].score, 1 / 62)

    def test_words_of_several_namespaces_are_ranked_together(self, data_store: AgentDataStore) -> None:
        """Guaranteed places first, as without words; the ranks are those of all together."""
        for name, text in (("legal", "cat"), ("support", "dog 4711"), ("engineering", "cat 4711")):
            memory = data_store.use_namespace(name).memory
            memory.add_many({f"{name} {number}": text for number in range(3)})
        places: dict[str, int | None] = {"legal": 1, "support": None, "engineering": None, "none": 2}
        found = data_store.memory.search_across(places, "cat 4711", 4, keywords=True)
        assert [one.key for one in found] == ["engineering 0", "engineering 1", "engineering 2", "legal 0"]
        assert math.isclose(found[0].score, 2 / 61)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)

    def test_keywords_need_a_text(self, wrapped: Wrapper) -> None:
        """And no least score; it is refused before any request."""
        memory: Any = wrapped(Untouchable, embedder=WORDS).agent("user_1", "agent_1").memory
        with pytest.raises(QueryError, match="keywords needs a text"):
            memory.search([1.0] * WORDS.dimensions, keywords=True)
        with pytest.raises(QueryError, match="min_score cannot be given with keywords"):
            memory.search("a", min_score=0.5, keywords=True)
