"""Moving: whole documents in and out, values in parts among them."""

import random

import pytest

import datastore
from datastore.backend import Fields
from datastore.conformance.topics.moving import document, everything, restoring
from datastore.moving import copy, digest_of, export_records, import_records
from datastore_dynamodb.writing import Items
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")

LARGE = random.Random(3).randbytes(420_000).hex()


def test_the_backend_has_what_tools_ask_for(backend):
    assert {"all_documents", "restore", "drop"} <= backend.capabilities.abilities


def test_a_copy_takes_large_values_and_no_parts_along(store, tmp_path):
    for user in ("ann", "a:b", "é"):
        agent = store.agent(user, "writer")
        agent.set_many({"split": LARGE, "zipped": "x" * 500_000, "text": {"n": 1.0}, "plain": {"n": [1, None]}})
    wanted = digest_of(store)
    with datastore.connect(dynamodb.MINISTACK.url()) as other:
        assert copy(store, other).complete
        assert digest_of(other) == wanted
        again = copy(store, other)
        assert (again.written, again.unchanged) == (0, 12)
    assert export_records(store, tmp_path / "all.jsonl.gz").complete
    with datastore.connect(dynamodb.MINISTACK.url()) as third:
        assert import_records(tmp_path / "all.jsonl.gz", third).complete
        assert digest_of(third) == wanted


def test_all_documents_are_listed_across_pages_of_parts(store, backend):
    """A page can end at a part of a value, which is no document."""
    for user in ("ann", "bob", "eve"):
        store.agent(user, "writer").set_many({"split": LARGE, "plain": 1})
    for limit in (1, 2, 3):
        found = [one.id for one in everything(backend, Fields.KEY, limit)]
        assert len(found) == len(set(found)) == 6


def test_restoring_the_same_large_value_again_keeps_its_parts(backend, store):
    whole = document("key", LARGE)
    assert backend.restore([restoring(whole)])[0].done
    assert backend.restore([restoring(whole, moment=1)])[0].revision == whole.revision
    counted = whole._replace(access_count=99)
    assert backend.restore([restoring(counted, whole.revision, moment=2)])[0].done
    assert backend.read([whole.id], Fields.ALL) == {whole.id: counted}


def test_who_loses_the_race_to_restore_a_large_value_leaves_its_parts_alone(backend, monkeypatch):
    whole = document("key", LARGE)
    load, stored = Items.load, []

    def load_too_early(items, ids, **needed):
        found = load(items, ids, **needed)
        if not stored:
            stored.append(True)
            assert backend.restore([restoring(whole, moment=1)])[0].done
        return found

    monkeypatch.setattr(Items, "load", load_too_early)
    assert backend.restore([restoring(whole)])[0].revision == whole.revision
    assert backend.read([whole.id], Fields.ALL) == {whole.id: whole}


@pytest.mark.parametrize("number", [1, 2, 100, 250])
def test_restoring_takes_these_requests(backend, wire, number):
    outcomes = backend.restore([restoring(document(f"key {one}")) for one in range(number)])
    assert all(outcome.done for outcome in outcomes)
    one, many = ["PutItem"], ["TransactWriteItems"] * (-(-number // 100))
    assert wire.operations == (one if number == 1 else many)
