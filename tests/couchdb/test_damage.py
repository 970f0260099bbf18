"""Documents that another program has written into the database: each is an error that names it, and harms no other."""

from __future__ import annotations

import json
import logging
import sys

import pytest

import datastore
from datastore import DamagedRecordError
from datastore.ids import encode_key
from datastore.moving import copy
from datastore_couchdb.parsing import loads
from datastore_couchdb.streaming import read_rows

SECRET = "5ecret"
OTHERS = {f"k{number}": {"n": number} for number in range(3)}
ID = f"u:default:{encode_key('bad')}"

DAMAGE = {
    "no value": {"value": None, "remove": ["value"]},
    "text that is no JSON": {"valueJson": f"{{{SECRET}"},
    "a million digits": {"valueJson": " " + "7" * 1_000_000},
    "an object for text": {"valueJson": {"x": SECRET}},
    "no revision": {"remove": ["revision"]},
    "no creation time": {"remove": ["createdAt"]},
    "a time that there is not": {"createdAt": "2026-99-99T99:99:99.000000Z"},
    "a number for a time": {"updatedAt": 5},
    "an agent that is an object": {"createdByAgent": {"x": SECRET}},
    "a count that is text": {"accessCount": SECRET},
    "metadata that is an array": {"metadata": [SECRET]},
}
IN_THE_VALUE = ("no value", "text that is no JSON", "a million digits", "an object for text")


@pytest.fixture(params=DAMAGE.items(), ids=DAMAGE.keys())
def damage(request, store, agent, stranger):
    """What is wrong with the record ``bad``, which this process has written and another one then edited."""
    agent.set_many({**OTHERS, "bad": {"n": 7, "s": SECRET}}, {"m": 1})
    name, changes = request.param
    plant(store, ID, changes)
    return name


def plant(store, id, changes):
    session = store.backend._session
    document = {"_id": id} | (session.get_document(id) or {}) | changes
    for field in document.pop("remove", ()):
        document.pop(field, None)
    answers = session.post("_bulk_docs", json.dumps({"docs": [document]}))
    assert "error" not in answers[0], answers


def test_asked_for_by_its_key_it_is_an_error_that_names_it(agent, damage):
    with pytest.raises(DamagedRecordError) as caught:
        agent.get_record("bad")
    assert caught.value.id == ID
    assert SECRET not in str(caught.value)
    if damage in IN_THE_VALUE:
        for call in (lambda: agent.get("bad"), lambda: agent.get_many(["k0", "bad"]), lambda: agent.increment("bad")):
            with pytest.raises(DamagedRecordError):
                call()


def test_it_is_left_out_of_listings_and_finds_with_a_warning(agent, damage, caplog):
    assert sorted(record.key for record in agent.iter_records()) == sorted(OTHERS)
    warnings = [record for record in caplog.records if record.name == "datastore"]
    assert [warning.levelno for warning in warnings] == [logging.WARNING]
    assert ID in warnings[0].getMessage()
    assert SECRET not in warnings[0].getMessage()
    assert agent.find({"n": {"$lt": 5}}) == OTHERS
    assert agent.get_all().keys() - {"bad"} == OTHERS.keys()


@pytest.mark.parametrize("seen", [True, False], ids=["seen here", "not seen here"])
def test_it_is_removed_like_any_other(agent, stranger, damage, seen):
    who = agent if seen else stranger
    assert who.delete("bad")
    assert not who.exists("bad")
    assert who.get_all() == OTHERS


def test_it_is_removed_with_others_and_with_its_namespace(agent, damage):
    assert agent.delete_many(["k0", "bad"]) == 2
    assert agent.clear() == 2


def test_a_set_over_it_says_so_or_mends_it(agent, damage):
    try:
        agent.set("bad", {"n": 8})
    except DamagedRecordError:
        agent.delete("bad")
        agent.set("bad", {"n": 8})
    assert agent.get_record("bad").value == {"n": 8}


def test_counting_its_accesses_harms_no_other(store, agent):
    agent.set_many({"k0": 1, "bad": 1})
    agent.get_many(["k0", "bad"])
    plant(store, ID, {"accessCount": "many"})
    store.flush()
    assert agent.get_record("k0").access_count == 1


def test_a_copy_reports_what_it_leaves_behind(store, agent, damage):
    with datastore.connect("memory://") as target:
        report = copy(store, target)
        assert (report.written, report.counts, report.left_out) == (3, {"failed": 1}, 0)
        assert report.problems[0].where == ID


@pytest.mark.parametrize("id", ["u:default:?", "u:default:a:b", "u:broken"])
def test_an_id_that_no_key_has_hides_nothing(store, agent, id):
    agent.set_many(OTHERS)
    agent.use_namespace("zzz").set("k", 1)
    plant(store, id, {"value": SECRET})
    assert sorted(agent.list_keys()) == sorted(OTHERS)
    assert agent.get_all() == OTHERS
    assert agent.list_namespaces() == ["default", "zzz"]
    assert agent.clear() >= 3
    assert agent.list_keys() == []


@pytest.fixture(params=[640, 4_300, 100_000, 0], ids=lambda limit: f"limit {limit}")
def interpreters_limit(request):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield
    sys.set_int_max_str_digits(before)


LONG = '{"_id":"a","value":{"n":[%s]},"m":1}' % ("1" * 1_000_000)
FITS = '{"_id":"b","value":{"n":[%s]}}' % ("1" * 4_300)


def test_an_integer_that_is_too_long_costs_its_document_and_no_other(interpreters_limit):
    """Real servers keep any number; those of the tests are JavaScript."""
    answer = loads(f'{{"docs":[{LONG},{FITS}]}}')
    assert answer["docs"][0]["_id"] == "a"
    assert isinstance(answer["docs"][0]["value"], ValueError)
    assert answer["docs"][0]["m"] == 1
    assert answer["docs"][1]["value"]["n"] == [(10**4_300 - 1) // 9]


def rows_of(*documents):
    rows = ",\n".join(f'{{"id":"{id}","key":"{id}","value":{{"rev":"1-a"}},"doc":{text}}}' for id, text in documents)
    text = f'{{"total_rows":9,"offset":0,"rows":[\n{rows}\n]}}'
    return iter([text[start : start + 65_536] for start in range(0, len(text), 65_536)])


def test_nor_does_it_end_a_listing(interpreters_limit):
    rows, cut = read_rows(rows_of(("a", LONG), ("b", FITS)), 10**9)
    assert not cut
    assert isinstance(rows[0]["doc"]["value"], ValueError)
    assert rows[1]["doc"]["value"]["n"] == [(10**4_300 - 1) // 9]


def test_a_document_that_is_nested_too_deep_does_not_end_a_listing():
    deep = '{"_id":"a","text":"}]\\"{","value":' + "[" * 200_000 + "]" * 200_000 + "}"
    rows, cut = read_rows(rows_of(("a", deep), ("b", '{"_id":"b","value":1}')), 10**9)
    assert not cut
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["doc"] == {"_id": "a"}
