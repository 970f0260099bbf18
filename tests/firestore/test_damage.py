"""Documents that another program has written there: each is an error that names it, and harms no other."""

from __future__ import annotations

import logging

import pytest
from google.cloud.firestore_v1.types import write

import datastore
from datastore import DamagedRecordError
from datastore.backend import Fields, IdRange
from datastore.ids import encode_key
from datastore.moving import copy

SECRET = "5ecret"
OTHERS = {f"k{number}": {"n": number} for number in range(3)}
ID = f"u:default:{encode_key('bad')}"

DAMAGE = {
    "no value": {"value": None},
    "bytes": {"value": {"bytes_value": SECRET.encode()}},
    "text that is no JSON": {"value": None, "valueJson": {"string_value": f"{{{SECRET}"}},
    "a number for text": {"value": None, "valueJson": {"integer_value": 5}},
    "no revision": {"revision": None},
    "no id": {"_id": None},
    "another one's id": {"_id": {"string_value": f"u:default:{encode_key('k0')}"}},
    "an id that is a number": {"_id": {"integer_value": 5}},
    "no creation time": {"createdAt": None},
    "text for a time": {"createdAt": {"string_value": SECRET}},
    "a number for a time": {"updatedAt": {"integer_value": 5}},
    "an agent that is a number": {"createdByAgent": {"integer_value": 5}},
    "a count that is text": {"accessCount": {"string_value": SECRET}},
    "metadata that is text": {"metadata": {"string_value": SECRET}},
    "metadata that is no JSON": {"metadata": None, "metadataJson": {"string_value": SECRET}},
}
IN_THE_VALUE = ("no value", "bytes", "text that is no JSON", "a number for text")


def plant(store, id, change):
    connection = store.backend._connection
    message = write.Write.pb()()
    message.update.name = connection._settings.prefix + id
    message.update_mask.field_paths.extend(change)
    for field, value in change.items():
        if value is not None:
            ((kind, content),) = value.items()
            setattr(message.update.fields[field], kind, content)
    connection.commit([message])


@pytest.fixture(params=DAMAGE.items(), ids=DAMAGE.keys())
def damage(request, store, agent):
    """What is wrong with the record ``bad``."""
    agent.set_many({**OTHERS, "bad": {"n": 7, "s": SECRET}}, {"m": 1})
    name, change = request.param
    plant(store, ID, change)
    return name


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
    assert agent.find({"n": 1}) == {"k1": {"n": 1}}
    assert agent.get_all().keys() - {"bad"} == OTHERS.keys()
    assert set(agent.list_keys()) - {"bad"} == OTHERS.keys()
    assert agent.list_namespaces() == ["default"]


def test_it_is_left_out_of_listings_from_the_last_to_the_first(agent, damage):
    expected = sorted(OTHERS, reverse=True)
    assert [record.key for record in agent.iter_records(reverse=True)] == expected
    for limit in (1, 2):
        cursor, keys = None, []
        while True:
            page = agent.scan(limit=limit, reverse=True, cursor=cursor)
            keys += [record.key for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
        assert keys == expected
    assert agent.first().key == "k0"
    assert agent.last().key == "k2"


@pytest.mark.parametrize("name", ["copy of it", "u:default:z", "u:default:-", "u:zz:a", "a:b:c"])
@pytest.mark.parametrize("page", [1, 2, 3, 10])
def test_a_copy_under_another_name_hides_no_record(store, agent, name, page):
    """As the console makes it: with the id of the one that it was copied from, beside which it is found."""
    agent.set_many(OTHERS)
    connection = store.backend._connection
    prefix = connection._settings.prefix
    source = prefix + f"u:default:{encode_key('k1')}"
    message = write.Write.pb()()
    message.update.CopyFrom(connection.batch_get([source], None)[source])
    message.update.name = prefix + name
    message.update.ClearField("create_time")
    message.update.ClearField("update_time")
    connection.commit([message])
    found, after = [], None
    while True:
        one = store.backend.scan(IdRange("u:default:", "u:default;"), Fields.ALL, page, after, True)
        found += [document.id for document in one.documents]
        if one.after is None:
            break
        assert one.after != after
        after = one.after
    assert found == [f"u:default:{encode_key(key)}" for key in ("k2", "k1", "k0")]


def test_it_is_removed_like_any_other(agent, damage):
    assert agent.delete("bad")
    assert not agent.exists("bad")
    assert agent.get_all() == OTHERS


def test_it_is_removed_by_a_process_that_has_not_seen_it(url, agent, damage):
    with datastore.connect(url) as other:
        removed = other.agent("u", "b").delete("bad")
    # By the count it tells, without a read, whether there was a document.
    assert removed or damage == "a count that is text"
    assert agent.get_all() == OTHERS


def test_a_process_that_has_met_it_removes_it_in_one_request_and_says_so(agent, recorder, damage):
    with pytest.raises(DamagedRecordError):
        agent.get_record("bad")
    recorder.clear()
    assert agent.delete("bad") is True
    assert recorder.requests == ["Commit"]
    assert agent.get_all() == OTHERS


def test_it_is_removed_with_others_and_with_its_namespace(store, agent, damage):
    assert agent.delete_many(["k0", "bad"]) == 2
    agent.set("bad", 1)
    plant(store, ID, DAMAGE[damage])
    foreign = damage == "no revision"  # never the store's own: it is left to whoever wrote it
    assert agent.clear() == (2 if foreign else 3)
    assert agent.list_keys() == []
    assert agent.delete("bad") is foreign


def test_a_set_over_it_says_so_or_mends_it(agent, damage):
    try:
        agent.set("bad", {"n": 8}, {"m": 2})
        agent.get_record("bad")
    except DamagedRecordError:
        agent.delete("bad")
        agent.set("bad", {"n": 8}, {"m": 2})
    assert agent.get_record("bad").value == {"n": 8}


def test_a_copy_reports_what_it_leaves_behind(store, agent, damage):
    with datastore.connect("memory://") as target:
        report = copy(store, target)
        assert (report.written, report.counts, report.left_out) == (3, {"failed": 1}, 0)
        assert report.problems[0].where == ID


def test_counting_its_accesses_harms_no_other(store, agent, damage):
    agent.get_many(["k0", "k1"])
    store._core.tracker.note(store._core.read_one(ID, Fields.KEY), "a") if readable(store) else None
    store.flush()
    assert agent.get_record("k0").access_count == 1


def readable(store):
    try:
        return store._core.read_one(ID, Fields.KEY) is not None
    except DamagedRecordError:
        return False
