"""Long texts in parts: a search finds a text once, by its nearest part, and parts are replaced together."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    DataStore,
    Embedder,
    EmbedderError,
    InvalidValueError,
    Item,
    Match,
    Splitter,
    UnsupportedError,
    ValueTooLargeError,
)
from datastore.backend import Outcome, Write
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable, Wrapped
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.conformance.topics.memory import METRICS, SIZE, WORDS, kept, score, words
from datastore.memory.changes import GRACE
from datastore.memory.items import Metric

SPLIT = Splitter(60, 20)
CATS, DOGS = "A cat sat on a mat. Cats sleep all day.", "Then a dog came. Dogs bark at night and day."
STORY = f"{CATS}\n\n{DOGS}"
_WORDS = [f"w{number}" for number in range(40)]


class Looked(Wrapped):
    """A backend of which somebody looks at what is stored before and after each write."""

    look: Callable[[], object] = staticmethod(lambda: None)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self.look()
        try:
            return super().write(writes)
        finally:
            self.look()


def part_of(match: Match) -> str | None:
    """Return the text of the part that was found, once it is known that it is where it says."""
    if match.part is None:
        return None
    assert match.text is not None
    assert match.part.text == match.text[match.part.start : match.part.end]
    return match.part.text


class Splitting(Topic):
    """``memory.add(..., split=Splitter(...))``."""

    @pytest.fixture
    def store(self, open_store: Opener) -> DataStore:
        """Return an open store with an embedder."""
        return open_store(embedder=WORDS)

    def test_a_long_text_is_found_once_by_its_nearest_part(self, store: DataStore, data_store: AgentDataStore) -> None:
        """The match says which part it is; the vectors of all of them are in one document, and a short text has one."""
        memory = data_store.memory
        memory.add(STORY, key="story", split=SPLIT)
        memory.add("a bird", key="bird", split=SPLIT)
        assert len(kept(store)) == 2
        for query, part in (("cat mat", CATS), ("dog bark", DOGS)):
            found = memory.search(query, 5)
            assert [(one.key, one.text, part_of(one)) for one in found] == [
                ("story", STORY, part),
                ("bird", "a bird", None),
            ]
            asked, its = words([query, part])
            assert math.isclose(found[0].score, score(asked, its, "cosine"), rel_tol=1e-9)
        assert data_store.list_keys() == ["bird", "story"]
        assert data_store.count() == 2
        across = memory.search_across({"default": 1, "other": None}, "dog", 2)
        assert [(one.key, part_of(one)) for one in across] == [("story", DOGS), ("bird", None)]
        assert memory.delete("story")
        assert len(kept(store)) == 1

    @pytest.mark.parametrize("metric", METRICS)
    def test_search_is_brute_force_over_parts(
        self, store: DataStore, wrapped: Wrapper, clock: Clock, metric: Metric
    ) -> None:
        """Whatever is added, edited, removed and expires, in two stores; ``n`` counts texts, and filters come first."""
        agents = [store.agent("user_1", "agent_1"), wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_2")]
        chance, there = random.Random(metric), dict[str, tuple[str, int, float | None]]()

        def text() -> str:
            sentences = [
                " ".join(chance.choices(_WORDS, k=chance.randrange(1, 7))) + "."
                for _ in range(chance.choice((1, 2, 12)))
            ]
            return "".join(one + chance.choice((" ", "\n", "\n\n")) for one in sentences)

        def change(agent: AgentDataStore) -> None:
            memory, keys = agent.memory, sorted(there)
            kind = chance.choice(("add", "many", "edit", "edit", "delete", "plain"))
            if kind in ("add", "many") or not keys:
                ttl, p = chance.choice((None, None, 100)), chance.randrange(2)
                new = {f"k{chance.randrange(10**6)}": text() for _ in range(1 if kind == "add" else 3)}
                memory.add_many([Item(*one) for one in new.items()], {"p": p}, ttl=ttl, split=SPLIT)
                until = None if ttl is None else clock() + ttl
                there.update({key: (its, p, until) for key, its in new.items()})
                return
            key = chance.choice(keys)
            if kind == "edit":
                there[key] = text(), *there[key][1:]
                assert memory.edit(key, there[key][0])
            else:
                assert memory.delete(key) if kind == "delete" else agent.set(key, "plain")
                del there[key]

        def brute(query: str, p: int | None) -> list[tuple[float, str, set[str | None]]]:
            (asked,), found = words([query]), list[tuple[float, str, set[str | None]]]()
            for key, (its, its_p, until) in there.items():
                if p in (None, its_p) and (until is None or until > clock()):
                    spans = SPLIT.parts(its)
                    parts: list[str | None] = [its[start:end] for start, end in spans] or [None]
                    scores = [score(asked, words([its if part is None else part])[0], metric) for part in parts]
                    best = max(scores)
                    near = {
                        part for part, one in zip(parts, scores, strict=True) if math.isclose(one, best, abs_tol=1e-9)
                    }
                    found.append((best, key, near))
            return sorted(found, key=lambda one: (-one[0], one[1]))

        for turn in range(16):
            change(chance.choice(agents))
            if turn == 10:
                clock.advance(101)
                now = clock()
                there = {key: one for key, one in there.items() if one[2] is None or one[2] > now}
            query, n, p = text(), chance.choice((1, 3, 100)), chance.choice((None, 1))
            expected = brute(query, p)
            for agent in agents:
                meta = None if p is None else {"metadata.p": p}
                found = agent.memory.search(query, n, meta=meta, metric=metric)
                assert len({one.key for one in found}) == len(found) == min(n, len(expected))
                by_key = {key: (its, near) for its, key, near in expected}
                for one, (its_score, _, _) in zip(found, expected, strict=False):
                    assert math.isclose(one.score, its_score, rel_tol=1e-9, abs_tol=1e-9)
                    assert math.isclose(one.score, by_key[one.key][0], rel_tol=1e-9, abs_tol=1e-9)
                    assert part_of(one) in by_key[one.key][1]

    def test_an_edit_replaces_all_parts_at_once(self, store: DataStore, wrapped: Wrapper) -> None:
        """Who searches meanwhile finds the old text or the new one; afterwards nothing is left of the old one."""
        other, seen = wrapped(Looked, embedder=WORDS), list[tuple[str | None, str | None]]()
        memory, reader = other.agent("user_1", "agent_1").memory, store.agent("user_1", "agent_2").memory
        new = "A cow eats grass. It is brown.\n\nThe horse runs and the cow looks.\n\nNight falls on the farm at last."

        def look() -> None:
            (found,) = reader.search("cat mat", 9)
            seen.append((found.text, part_of(found)))

        memory.add(STORY, key="story", split=SPLIT)
        other.backend.look = look  # type: ignore[attr-defined]  # a `Looked`
        assert memory.edit("story", new)
        del other.backend.look  # type: ignore[attr-defined]
        assert set(seen) == {(STORY, CATS), seen[-1]}
        assert seen[-1][0] == new
        spans = SPLIT.parts(new)
        assert len(spans) > 1, "how it is split was kept"
        for start, end in spans:
            assert [part_of(one) for one in reader.search(new[start:end], 9)] == [new[start:end]]
        assert len(kept(store)) == 1
        assert memory.edit("story", metadata={"lang": "en"})
        assert memory.edit("story", split=Splitter(1_000))
        assert [(one.text, one.part, one.metadata) for one in reader.search("cow", 9)] == [(new, None, {"lang": "en"})]

    def test_a_failing_embedder_changes_no_part(self, open_store: Opener) -> None:
        """And what has not changed is not embedded again."""
        given, fails = list[str](), list[bool]()

        def embed(texts: list[str]) -> list[list[float]]:
            given.extend(texts)
            if fails and len(given) > 1:
                raise OSError
            return words(texts)

        memory = open_store(embedder=Embedder(embed, SIZE, "words", batch=1, splitter=SPLIT)).agent("u", "a").memory
        memory.add(STORY, key="story")
        assert given == [CATS, DOGS], "the embedder's splitter is that of every text"
        given.clear()
        memory.edit("story", metadata={"a": 1})
        assert given == []
        fails.append(True)
        for change in (lambda: memory.edit("story", DOGS + STORY), lambda: memory.add(STORY, key="other")):
            given.clear()
            with pytest.raises(EmbedderError):
                change()
        fails.clear()
        assert [(one.key, part_of(one)) for one in memory.search("cat mat", 9)] == [("story", CATS)]

    def test_words_find_a_text_once_and_its_nearest_part(self, data_store: AgentDataStore) -> None:
        """Also one that only its words have found."""
        memory = data_store.memory
        memory.add(f"{STORY}\n\nInvoice 4711 is open, and nobody pays it.", key="story", split=SPLIT)
        memory.add_many({f"k{number:02}": f"cat {number}" for number in range(60)})
        found = memory.search("cat 4711", 100, keywords=True)
        assert len({one.key for one in found}) == len(found) == 61
        (story,) = [one for one in found if one.key == "story"]
        assert part_of(story) == part_of(next(one for one in memory.search("cat 4711", 61) if one.key == "story"))
        (first,) = memory.search("4711", 1, keywords=True)
        assert first.key == "story"

    def test_parts_go_with_their_text(self, store: DataStore, data_store: AgentDataStore, clock: Clock) -> None:
        """If it expires, or is removed or replaced by another call."""
        memory = data_store.memory
        memory.add(STORY, key="expires", ttl=10, split=SPLIT)
        memory.add_many({"deleted": STORY, "set": STORY, "stays": STORY}, split=SPLIT)
        data_store.delete("deleted")
        data_store.set("set", STORY)
        clock.advance(11)
        assert [(one.key, part_of(one)) for one in memory.search("dog", 9)] == [("stays", DOGS)]
        clock.advance(GRACE)
        data_store.purge_expired()
        assert len(kept(store)) == 1
        assert memory.embed(["set", "stays"], split=SPLIT) == {"set": True, "stays": False}
        assert [part_of(one) for one in memory.search("dog", 9)] == [DOGS, DOGS]

    def test_another_model_splits_in_its_own_way(self, store: DataStore, wrapped: Wrapper) -> None:
        """`reembed` makes the parts anew; what was split as the caller said stays so."""
        memory = store.agent("user_1", "agent_1").memory
        memory.add(STORY, key="whole")
        memory.add(STORY, key="split", split=SPLIT)
        other = wrapped(Wrapped, embedder=Embedder(words, SIZE, "other", splitter=Splitter(40)))
        again = other.agent("user_1", "agent_1").memory
        with pytest.raises(EmbedderError):
            again.search("cat")
        assert again.reembed() == 2
        assert [(one.key, part_of(one)) for one in again.search("night", 9)] == [
            ("whole", "Dogs bark at night and day."),
            ("split", DOGS),
        ]

    def test_no_index_has_parts(self, data_store: AgentDataStore) -> None:
        """A namespace with a text in parts is searched exactly, whatever was declared; `explain` says why."""
        memory = data_store.memory
        memory.add("a bird", key="bird")
        try:
            memory.ensure_index()
        except UnsupportedError:
            memory.add(STORY, key="story", split=SPLIT)
        else:
            assert not memory.explain("cat", exact=False)["exact"]
            memory.add(STORY, key="story", split=SPLIT)
            assert "parts" in memory.explain("cat", exact=False)["why_exact"]
            memory.reembed()
            memory.ensure_index()
            assert "parts" in memory.explain("cat", exact=False)["why_exact"]
        assert [(one.key, part_of(one)) for one in memory.search("dog", 1, exact=False)] == [("story", DOGS)]

    def test_a_vault_splits_long_items(self, data_store: AgentDataStore, wrapped: Wrapper) -> None:
        """Its number is that of the whole text; the vectors may be made by another process."""
        vault = data_store.vector_vault("stories")
        assert vault.add(STORY, split=True, split_size=60) == 0
        assert vault.add(STORY) == 1
        other = wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_2").vector_vault("stories")
        assert other.get_vectors() == 2
        first, second = vault.get_similar("dog bark", 5)
        start = STORY.index(DOGS)
        assert first["metadata"]["part"] == {"start": start, "end": len(STORY), "text": DOGS}
        assert (first["metadata"]["item_id"], first["data"]) == (0, STORY)
        assert "part" not in second["metadata"]
        assert vault.edit_item(0, f"{DOGS}\n\n{CATS}")
        assert vault.get_similar("dog bark", 1)[0]["metadata"]["part"]["text"] == DOGS
        assert vault.add_n_save(f"{CATS} {STORY}", split=True, split_size=60) == 2
        assert vault.get_total_items() == 3
        assert {item["metadata"]["item_id"] for item in vault.get_similar("cat", 9)} == {0, 1, 2}

    def test_an_item_is_split_as_it_was_to_be(self, data_store: AgentDataStore) -> None:
        """Also if its text is edited before it has a vector; its neighbours are split as they were to be."""
        vault = data_store.vector_vault("stories")
        for size in (None, 60, 1_000):
            vault.add("a bird", split=size is not None, split_size=size or 60)
        for number in range(3):
            assert vault.edit_item(number, STORY)
        assert vault.get_vectors() == 0
        found = {item["metadata"]["item_id"]: item["metadata"].get("part") for item in vault.get_similar("dog bark", 9)}
        assert found == {0: None, 1: {"start": STORY.index(DOGS), "end": len(STORY), "text": DOGS}, 2: None}

    def test_what_cannot_be_split_is_refused_before_a_request(self, wrapped: Wrapper) -> None:
        """With the name of what is wrong."""
        memory = wrapped(Untouchable, embedder=WORDS).agent("user_1", "agent_1").memory
        anything: Any = 60
        for call, message in (
            (lambda: memory.add(STORY, split=anything), "split is an int"),
            (lambda: memory.add(STORY, vector=[1.0] * SIZE, split=SPLIT), "split is given with a vector"),
            (lambda: memory.add_many([STORY], vectors=[[1.0] * SIZE], split=SPLIT), "split is given with a vector"),
            (lambda: memory.edit("k", split=Splitter(60, count=len)), "split counts by a function"),
            (lambda: memory.embed(["k"], split=anything), "split is an int"),
            (lambda: Splitter(15), "size is 15"),
            (lambda: Splitter(60, 31), "overlap is 31"),
            (lambda: Splitter(60, count=anything), "count is an int"),
        ):
            with pytest.raises(InvalidValueError, match=message):
                call()
        vault = wrapped(Untouchable, embedder=WORDS).agent("user_1", "agent_1").vector_vault("stories")
        with pytest.raises(InvalidValueError, match="split_size is 3"):
            vault.add(STORY, split=True, split_size=3)

    def test_a_text_of_too_many_parts_is_not_stored(self, data_store: AgentDataStore, open_store: Opener) -> None:
        """The vectors of one text are kept together, so there is an end to them."""
        with pytest.raises(ValueTooLargeError, match="more than 1,000 parts"):
            data_store.memory.add("word " * 4_000, split=Splitter(16))
        large = open_store(embedder=Embedder(lambda texts: [[1.0] * 3_072 for _ in texts], 3_072, "large"))
        memory = large.agent("user_1", "agent_1").memory
        with pytest.raises(ValueTooLargeError, match="61 parts, and of 3,072 dimensions 60"):
            memory.add("x" * 6_100, split=Splitter(100))
        key = memory.add("x" * 6_000, split=Splitter(100))
        assert [one.key for one in memory.search([1.0] * 3_072)] == [key]
