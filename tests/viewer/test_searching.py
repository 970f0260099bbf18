"""Search by words and by meaning, nearest neighbours, and vectors of what a person changes."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode

import pytest

import datastore
from datastore.viewer.pages import words
from tests.viewer.visiting import counted, visitor

WORDS = ("invoice", "refund", "login", "cat")


def count_words(texts):
    return [[text.count(word) + 0.1 for word in WORDS] for text in texts]


@pytest.fixture
def meaning(tmp_path):
    """A store whose host has an embedder."""
    embedder = datastore.Embedder(count_words, 4, "count-words")
    with datastore.connect(f"sqlite:///{tmp_path}/meaning.db", tracking="immediate", embedder=embedder) as store:
        support = store.agent("ann", "support", "support")
        support.memory.add_many({"refund": "The refund takes a week", "login": "A login needs a password"})
        support.set("bare", "a refund without a vector")
        store.agent("ann", "support", "pets").memory.add("The cat is fine", key="cat")
        store.agent("ann", "support", "plain").set("x", "refund")
        yield store


def found(seen):
    return [(row[0], row[1]) for row in seen.rows[1:]]


# ------------------------------------------------------------------------------------------------------- by words


def test_words_are_found_in_keys_values_and_metadata(store, person):
    ann = store.agent("ann", "planner", "jobs")
    ann.set("invoice-7", {"to": [{"name": "Ada Lovelace"}], "n": 2024, "big": 10**30})
    ann.set("x", "Nothing", {"city": "São Paulo"})
    ann.use_namespace("other").set("y", "ÉTÉ, 東京都へ")
    for question, expected in (
        ("ada", [("invoice-7", "jobs")]),
        ("LOVE ada", [("invoice-7", "jobs")]),
        ("invoice-7 2024", [("invoice-7", "jobs")]),
        ("são", [("x", "jobs")]),
        ("name", [("invoice-7", "jobs")]),
        (str(10**30), [("invoice-7", "jobs")]),
        ("été", [("y", "other")]),
        ("京都", [("y", "other")]),
        ("ada nothing", []),
        ("lace", []),
    ):
        assert found(person.see("/search?user=ann", q=question)) == expected, question
    assert found(person.see("/search?user=ann", q="été", prefix="jobs")) == []
    seen = person.see("/search?user=ann", q="lovelace")
    assert seen.rows[1][2] == "Ada Lovelace"
    seen = person.see("/search?user=ann", q="?!")
    assert (seen.status, "at least one word" in seen.text) == (400, True)


def test_one_page_looks_at_so_many_records_and_the_next_goes_on(store, person, monkeypatch):
    monkeypatch.setattr(words, "RECORDS", 40)
    monkeypatch.setattr(words, "NAMESPACES", 3)
    ann = store.agent("ann", "planner")
    for n in range(8):
        ann.use_namespace(f"space-{n}").set_many({f"k{m:02}": f"word{m}" for m in range(15)})
    seen, pages, all_found = person.see("/search?user=ann", q="word14"), 1, list[tuple[str, str]]()
    while True:
        all_found += found(seen)
        if "Go on from there" not in seen.links:
            break
        with counted(store) as counts:
            seen = person.follow(seen, "Go on from there")
        assert counts.documents <= 4 + 41
        assert len(counts.requests) <= 5 + 3
        pages += 1
    assert all_found == [("k14", f"space-{n}") for n in range(8)]
    assert pages >= 3


def test_a_page_shows_so_many_and_reads_so_much(store, person):
    ann = store.agent("ann", "planner", "jobs")
    ann.set_many({f"k{n:03}": "same words" for n in range(130)})
    pages, seen = list[int](), person.see("/search?user=ann", q="same")
    while True:
        pages.append(len(seen.rows) - 1)
        if "Go on from there" not in seen.links:
            break
        seen = person.follow(seen, "Go on from there")
    assert pages == [50, 50, 30]
    ann.set_many({f"large{n}": "x " * 400_000 for n in range(6)})
    assert "Go on from there" in person.see("/search?user=ann", q="none").links


# ----------------------------------------------------------------------------------------------------- by meaning


def test_the_nearest_are_found_in_all_namespaces_and_nothing_is_counted(meaning):
    person = visitor(meaning)
    seen = person.see("/search?user=ann&by=meaning", q="how long does a refund take")
    assert found(seen)[0] == ("refund", "support")
    assert {space for _, space in found(seen)} == {"support", "pets"}
    assert "2 namespaces with vectors" in seen.text
    assert float(seen.rows[1][2]) > 0.9
    assert found(person.see("/search?user=ann&by=meaning&prefix=pet", q="refund")) == [("cat", "pets")]
    assert "No namespace has vectors here" in person.see("/search?user=ann&by=meaning&prefix=plain", q="refund").text
    person.see("/near?user=ann&namespace=support&key=refund")
    meaning.flush()
    assert meaning.agent("ann", "a", "support").get_record("refund").access_count == 0


def test_meaning_is_offered_where_there_is_an_embedder(store, person, meaning):
    assert "--embedder" in person.see("/search?user=ann").text
    seen = person.see("/search?user=ann&by=meaning", q="x")
    assert seen.status == 200
    store.agent("ann", "a").memory.add("x", vector=[1.0, 2.0])
    seen = person.see("/search?user=ann&by=meaning", q="x")
    assert (seen.status, "embedder" in seen.text) == (400, True)
    other = datastore.DataStore(meaning.backend, embedder=datastore.Embedder(count_words, 4, "another"))
    seen = visitor(other).see("/search?user=ann&by=meaning", q="refund")
    assert (seen.status, "count-words" in seen.text) == (400, True)


def test_the_neighbours_of_a_record_are_shown(meaning, store, person):
    person = visitor(meaning)
    seen = person.see("/record?user=ann&namespace=support&key=refund")
    assert "4 dimensions, of count-words" in seen.text
    seen = person.follow(seen, "Nearest neighbours")
    assert found(seen) == [("login", "support")]
    assert "no vector" in person.see("/near?user=ann&namespace=support&key=bare").text
    assert "Nearest neighbours" not in person.see("/record?user=ann&namespace=support&key=bare").links
    assert person.see("/near?user=ann&namespace=support&key=none").status == 404
    # the vectors are there, also where the viewer has no embedder
    seen = visitor(datastore.DataStore(meaning.backend)).see("/near?user=ann&namespace=support&key=refund")
    assert found(seen) == [("login", "support")]


# ------------------------------------------------------------------------------- vectors of what a person changes


def send(person, page, key="refund", form=None, namespace="support"):
    return person.send(f"/{page}?{urlencode({'user': 'ann', 'namespace': namespace, 'key': key})}", form)


def top(store, question):
    return store.agent("ann", "a", "support").memory.search(question, 1)[0].key


def test_a_change_keeps_what_is_found_by_meaning(meaning):
    person, support = visitor(meaning), meaning.agent("ann", "a", "support")
    revision = support.get_record("refund").revision
    send(person, "edit", form={"value": '"The refund takes a week"', "metadata": '{"m": 1}', "revision": revision})
    assert top(meaning, "refund") == "refund"
    revision = support.get_record("refund").revision
    send(person, "edit", form={"value": '"A cat, after all"', "metadata": "{}", "revision": revision})
    assert top(meaning, "cat") == "refund"
    revision = support.get_record("refund").revision
    send(person, "rename", form={"to": "pet", "revision": revision})
    assert top(meaning, "cat") == "pet"
    revision = support.get_record("pet").revision
    seen = send(person, "delete", "pet", {"revision": revision})
    kept = {one["name"]: html.unescape(one["value"]) for one in seen.attributes("input") if one["name"] != "token"}
    send(person, "new", "pet", kept)
    assert top(meaning, "cat") == "pet"
    send(person, "new", "new", {"key": "new", "value": '"invoice invoice"', "embed": "1"})
    assert top(meaning, "invoice") == "new"


def test_without_an_embedder_the_vector_stays_if_the_value_does(meaning):
    without = datastore.DataStore(meaning.backend, tracking="off")
    person, support = visitor(without), meaning.agent("ann", "a", "support")
    assert "needs an embedder" in person.see("/edit?user=ann&namespace=support&key=refund").text
    assert "needs an embedder" not in person.see("/edit?user=ann&namespace=support&key=bare").text
    revision = support.get_record("refund").revision
    send(person, "edit", form={"value": '"The refund takes a week"', "metadata": '{"m": 1}', "revision": revision})
    assert support.get_record("refund").metadata == {"m": 1}
    assert top(meaning, "refund") == "refund"
    revision = support.get_record("refund").revision
    send(person, "edit", form={"value": '"changed"', "metadata": "{}", "revision": revision})
    assert support.get("refund") == "changed"
    assert top(meaning, "refund") == "login"


def test_a_record_is_stored_although_the_embedder_fails(tmp_path):
    state = {"fails": False}

    def embed(texts):
        if state["fails"]:
            raise OSError
        return count_words(texts)

    embedder = datastore.Embedder(embed, 4, "count-words")
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", tracking="off", embedder=embedder) as store:
        support = store.agent("ann", "a", "support")
        support.memory.add("a refund", key="refund")
        state["fails"] = True
        revision = support.get_record("refund").revision
        seen = send(visitor(store), "edit", form={"value": '"a cat"', "metadata": "{}", "revision": revision})
        assert seen.status == 200
        assert support.get("refund") == "a cat"


# ------------------------------------------------------------------------------------------- mistakes at their place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1, "price": {"$lx": 1}}', '"$lx"'),
        ('{"a": {"$lx": 1}, "$or": [{"b": 1}, {"c": {"$gt": 1, "$foo": 3}}], "z": {"$foo": 2}}', '"$lx"'),
        ('{"$or": [{"b": 1}, {"c": {"$gt": 1, "$foo": 3}}], "z": {"$exists": 2}}', '"$foo"'),
        ('{"😀": 1, "$what": 2}', '"$what"'),
        ('{"a": 1,, "b": 2}', ","),
        ('{"a": {"$in": 3}}', '"$in"'),
        ('{"a": {"$elemMatch": {"x\\"y": {"$nope": 1}}}}', '"$nope"'),
    ],
)
def test_the_place_of_a_mistake_is_marked(person, text, place):
    def marked(seen):
        return [html.unescape(one) for one in re.findall("<mark>(.*?)</mark>", seen.html)]

    seen = person.see("/records?user=ann&namespace=jobs", filter=text)
    assert (seen.status, marked(seen)) == (400, [place])
    (start, end) = re.search(r'data-start="(\d+)" data-end="(\d+)"', seen.html).groups()
    assert text.encode("utf-16-le")[2 * int(start) : 2 * int(end)].decode("utf-16-le") == place
    assert marked(person.see("/check?of=filter", filter=text)) == [place]
    assert marked(person.see("/search?user=ann", filter=text)) == [place]


def test_a_filter_is_checked_as_one_types_without_the_store(store, person):
    with counted(store) as counts:
        assert "This is a filter" in person.see("/check?of=filter", filter='{"a": 1}').text
        assert "This is a filter" in person.see("/check?of=meta", meta='{"createdAt": {"$gt": "2026"}}').text
        seen = person.see("/check?of=meta", meta='{"createdBy": 1}')
        assert "<mark>&#34;createdBy&#34;</mark>" in seen.html
        assert person.see("/check?of=meta").text.strip() == ""
    assert counts.requests == []
