"""How a text is split: where, how large the parts are, what comes again, and what a hostile text costs."""

import random
import time
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore import DamagedRecordError, Embedder, EmbedderError, InvalidValueError, Splitter, ValueTooLargeError
from datastore.conformance.topics.memory import kept
from datastore.memory.splitting import MOST_PARTS
from datastore.memory.vectors import AREA, Stored, stored_in
from datastore.scope import scope_of

TEXT = (
    "The first paragraph is short.\n\n"
    "The second one has two sentences. They fit together!\n\n"
    "The third has a sentence that is longer than a part may be, so it is cut between words, as well as that goes. "
    'And "another one." The end'
)


def parts(splitter, text):
    return [text[start:end] for start, end in splitter.parts(text)]


def words(text):
    return len(text.split())


def test_a_text_is_cut_between_paragraphs_else_sentences_else_words():
    assert parts(Splitter(60), TEXT) == [
        "The first paragraph is short.",
        "The second one has two sentences. They fit together!",
        "The third has a sentence that is longer than a part may be,",
        "so it is cut between words, as well as that goes.",
        'And "another one." The end',
    ]
    assert parts(Splitter(1_000), TEXT) == []
    assert parts(Splitter(16), "x" * 40) == ["x" * 16, "x" * 16, "x" * 8]
    assert parts(Splitter(16), "東京は今日も晴れです。明日は雨が降るでしょう。") == [
        "東京は今日も晴れです。",
        "明日は雨が降るでしょう。",
    ]


def test_the_end_of_a_part_comes_again_from_a_sentence_on():
    text = "One is here. Two is here. Three is here. Four is here. Five is here."
    assert parts(Splitter(40, 20), text) == [
        "One is here. Two is here. Three is here.",
        "Three is here. Four is here.",
        "Four is here. Five is here.",
    ]
    assert parts(Splitter(20, 8), "a bb ccc dddd eeeee ffffff ggggggg") == [
        "a bb ccc dddd eeeee",
        "eeeee ffffff ggggggg",
    ]


def test_a_function_counts():
    three, two = " ".join(["one two three four five."] * 3), " ".join(["one two three four five."] * 2)
    assert parts(Splitter(16, 5, words), "one two three four five. " * 6) == [three, three, two]
    assert parts(Splitter(16, count=words), " ".join(map(str, range(40)))) == [
        " ".join(map(str, range(start, min(start + 16, 40)))) for start in (0, 16, 32)
    ]
    splitter = Splitter(16, count=lambda text: 1 + 17 * text.count("x"))  # one letter is too much
    assert parts(splitter, "axbxc") == ["a", "x", "b", "x", "c"]


@given(
    st.text(st.sampled_from("ab. !\n\t。é\u2028"), max_size=400),
    st.integers(16, 50),
    st.integers(0, 25),
    st.sampled_from([None, words, lambda text: len(text.encode())]),
)
def test_parts_hold_all_of_the_text_in_order_and_none_is_too_large(text, size, overlap, count):
    splitter = Splitter(size, min(overlap, size // 2), count)
    found, counted = splitter.parts(text), count or len
    assert bool(found) <= (counted(text) > size)
    assert all(counted(text[start:end]) <= size or end - start == 1 for start, end in found)
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in found)
    for (start, end), (begin, stop) in pairwise(found):
        assert start < begin
        assert end < stop
        assert counted(text[begin:end]) <= splitter.overlap
    if counted(text) > size and text.strip():
        covered = {place for start, end in found for place in range(start, end)}
        assert not "".join(one for place, one in enumerate(text) if place not in covered).strip()


@pytest.mark.parametrize("text", ["x", "x ", ". ", "\n", ' \n x "', '."', "a.\n\n", "é\u0301"])
def test_a_hostile_text_takes_time_that_grows_with_it(text):
    """A pattern that looked back, or a piece that was looked at for each other one, would take minutes of this."""
    text = text * (100_000 // len(text))
    began = time.process_time()
    for splitter in (Splitter(1_000, 500), Splitter(20_000, count=len), Splitter(16)):
        with suppress(ValueTooLargeError):
            assert len(splitter.parts(text)) <= MOST_PARTS
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (lambda text: 1 / 0, "count failed with ZeroDivisionError"),
        (lambda text: "7", "count has returned a str"),
        (lambda text: -1, "count has returned an int"),
        (lambda text: None, "count has returned a NoneType"),
    ],
)
def test_a_count_that_fails_stores_nothing(count, message):
    embedder = Embedder(lambda texts: [[1.0] for _ in texts], 1, "one", splitter=Splitter(16, count=count))
    with datastore.connect("memory://", embedder=embedder) as store:
        agent = store.agent("ann", "a")
        with pytest.raises(EmbedderError, match=message) as raised:
            agent.memory.add("secret text", key="k")
        assert "secret" not in str(raised.value)
        assert agent.list_keys() == []


def test_what_is_no_splitter_is_refused():
    async def awaited(text):
        return 1

    for wrong in (
        {"size": True},
        {"size": "100"},
        {"size": 10**7},
        {"overlap": -1},
        {"overlap": 501},
        {"count": awaited},
    ):
        with pytest.raises(InvalidValueError, match=next(iter(wrong))):
            Splitter(**wrong)
    with pytest.raises(datastore.ConfigurationError, match="splitter is an int"):
        Embedder(lambda texts: texts, 1, "one", splitter=7)


def test_rows_of_texts_in_parts_are_ranked_as_brute_force_would(monkeypatch):
    """Beyond one block of the matrix, after removals, and while most of what is near is of few texts."""
    np = pytest.importorskip("numpy")
    from datastore.memory import matrix as module

    monkeypatch.setattr(module, "_ROWS", 64)
    chance, rows = np.random.default_rng(3), {}
    matrix = module.Matrix(5)
    for number in range(90):
        parts = int(chance.choice([1, 1, 2, 40]))
        vectors = chance.integers(-2, 3, (parts, 5)).astype("f4") + np.float32(0.25)
        spans = [(place, place + 1) for place in range(parts)] if parts > 1 else []
        rows[f"r{number}"] = vectors, spans
        matrix.add([Stored(f"r{number}", f"k{number % 70}", "", vectors.tobytes(), "", spans)])
    gone = [f"r{number}" for number in range(0, 90, 4)]
    matrix.forget(gone)
    for packed in (matrix, matrix.packed(), _only_half(matrix, rows)):
        live = {one: rows[one] for one in rows if one in packed}
        for metric in ("cosine", "dot", "euclidean"):
            query = chance.integers(-2, 3, 5).astype("f4") + np.float32(0.5)
            for keys in (None, [f"k{number}" for number in range(0, 70, 3)]):
                found = [one for some in packed.ranked(query.tobytes(), metric, 7, keys) for one in some]
                expected = {}
                for revision, (vectors, spans) in live.items():
                    if keys is None or f"k{int(revision[1:]) % 70}" in keys:
                        a, b = vectors.astype("f8"), query.astype("f8")
                        scores = a @ b
                        if metric == "cosine":
                            scores = scores / (np.linalg.norm(a, axis=1) * np.linalg.norm(b))
                        elif metric == "euclidean":
                            scores = -np.linalg.norm(a - b, axis=1)
                        expected[revision] = scores, spans
                assert len(found) == len({one.revision for one in found}) == len(expected)
                assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
                for one in found:
                    scores, spans = expected[one.revision]
                    assert one.score == pytest.approx(scores.max(), abs=1e-9)
                    assert (one.part is None) == (not spans)
                    assert one.part is None or scores[one.part[0]] == pytest.approx(scores.max(), abs=1e-9)


def _only_half(matrix, rows):
    matrix.forget([one for one in rows if random.Random(one).random() < 0.6])
    packed = matrix.packed()
    assert packed is not matrix
    return packed


def test_a_document_of_parts_that_does_not_hold_is_damaged():
    with datastore.connect("memory://", embedder=Embedder(lambda t: [[1.0, 2.0]] * len(t), 2, "two")) as store:
        agent = store.agent("user_1", "a")
        agent.memory.add("one two three. " * 5, key="k", split=Splitter(16))
        area, (document,) = scope_of(agent).area(AREA), kept(store)
        assert len(stored_in(area, [document])[0].parts) == 5
        for wrong in (
            {"parts": [[0, 5]]},
            {"parts": "abc"},
            {"parts": [[5, 0]] * 5},
            {"parts": [[0, True]] * 5},
            {"parts": 7},
            {"split": {"size": 3, "overlap": 0}},
            {"split": [16]},
        ):
            with pytest.raises(DamagedRecordError):
                stored_in(area, [document._replace(value={**document.value, **wrong})])
