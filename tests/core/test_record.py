"""A record made from a stored document, which is not validated again, is like one that Pydantic has validated."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import ValidationError

from datastore.backend import Document
from datastore.documents import TOGETHER
from datastore.errors import DamagedRecordError
from datastore.ids import encode_id
from datastore.record import Record, to_record, to_records

BARE = Document(
    id=encode_id("ann", "no:tes", "plän"),
    created_at="2026-01-31T12:00:00.000001Z",
    revision="r1",
    expires_at=None,
    value={"a": [1, 2.5, None], "b": {"c": "é"}},
    metadata={},
    created_by_agent="planner",
    updated_at="2026-01-31T13:00:00.000000Z",
)
FULL = BARE._replace(
    value=2**70,
    metadata={"topic": ["x"]},
    expires_at="9999-12-31T23:59:59.999999Z",
    access_count=2**63 - 1,
    last_accessed_by_agent="reader",
    last_accessed_at="2026-02-01T00:00:00.000000Z",
)
DOCUMENTS = pytest.mark.parametrize("document", [BARE, FULL], ids=["bare", "full"])


def validated(record: Record) -> Record:
    """Return the same record, made by Pydantic."""
    return Record.model_validate(record.model_dump())


@DOCUMENTS
def test_it_is_equal_to_a_validated_one_in_everything_that_can_be_seen(document):
    made = to_record(document)
    expected = validated(made)
    assert made == expected
    assert type(made) is type(expected) is Record
    assert list(made) == list(expected)
    assert vars(made) == vars(expected)
    assert {name: type(value) for name, value in made} == {name: type(value) for name, value in expected}
    assert repr(made) == repr(expected)
    assert made._repr_html_() == expected._repr_html_()
    assert made.model_dump() == expected.model_dump()
    assert made.model_dump(exclude_unset=True) == expected.model_dump(exclude_unset=True)
    assert made.model_dump_json() == expected.model_dump_json()
    assert Record.model_validate_json(made.model_dump_json()) == made
    assert made.model_fields_set == expected.model_fields_set == set(Record.model_fields)
    assert made.model_extra is expected.model_extra is None


@DOCUMENTS
def test_it_holds_what_the_document_does(document):
    record = to_record(document)
    assert (record.user_id, record.namespace, record.key) == ("ann", "no:tes", "plän")
    assert record.value is document.value
    dumped = record.model_dump(mode="json")
    for name, field in {
        "id": "id", "metadata": "metadata", "createdByAgent": "created_by_agent", "accessCount": "access_count",
        "lastAccessedByAgent": "last_accessed_by_agent", "createdAt": "created_at", "updatedAt": "updated_at",
        "lastAccessedAt": "last_accessed_at", "revision": "revision", "expiresAt": "expires_at",
    }.items():  # fmt: skip
        assert dumped[name] == getattr(document, field)


@DOCUMENTS
def test_it_is_copied_and_pickled_like_a_validated_one(document):
    made = to_record(document)
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), made.model_copy()):
        assert other == made
        assert other.model_fields_set == made.model_fields_set
    changed = made.model_copy(update={"revision": "r2"})
    assert (changed.revision, made.revision) == ("r2", "r1")
    assert changed != made


def test_it_cannot_be_changed():
    record = to_record(FULL)
    with pytest.raises(ValidationError, match="frozen"):
        record.value = 1
    with pytest.raises(ValidationError, match="frozen"):
        del record.revision
    assert record == to_record(FULL)


def test_two_records_share_nothing_that_can_be_changed():
    one, other = to_record(BARE), to_record(BARE._replace(metadata={}))
    one.model_fields_set.clear()
    one.metadata["topic"] = 1
    assert other.model_fields_set == set(Record.model_fields)
    assert other.metadata == {}


@pytest.mark.parametrize("id", ["ann", "ann:NF", "ann:notes:?", "ann:notes:x:NF", "%61nn:notes:NF"])
def test_a_document_whose_id_is_not_one_has_no_record(id):
    with pytest.raises(DamagedRecordError, match="no key has this id"):
        to_record(BARE._replace(id=id))


@pytest.mark.parametrize("number", [1, TOGETHER], ids=["few", "many"])
@pytest.mark.parametrize("wrong", [None, "ann:ns:?", "ann:ns", "ann%.:ns:NV"])
def test_records_that_are_made_together_are_those_made_one_by_one(number, wrong):
    documents = [BARE._replace(id=encode_id("ann", f"ns-{place // 9}", f"{place}")) for place in range(number)]
    documents.insert(number // 2, FULL)
    if wrong is None:
        assert to_records(documents) == list(map(to_record, documents))
        return
    documents.insert(number // 2, FULL._replace(id=wrong))
    with pytest.raises(ValueError):  # whoever wants to know which one it is makes them one by one
        to_records(documents)
