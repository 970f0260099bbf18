"""What a document in the legacy format becomes, and what is said about it."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.conformance.samples import METADATA, ODD_NAMES, VALUES, same
from datastore.ids import decode_id, encode_id
from datastore.moving.legacy_format import UNKNOWN, Name, UnreadableError, other_readings, to_record

PARTS = st.text(":a", min_size=1, max_size=4)


def raw_id(user="ann", namespace="default", key="plan"):
    return f"{user}:{namespace}:{b64encode(key.encode()).decode()}"


def legacy(user="ann", namespace="default", key="plan", value=1, **changes):
    return {
        "_id": raw_id(user, namespace, key),
        "userId": user,
        "namespace": namespace,
        "key": key,
        "value": value,
        "metadata": {"source": "web"},
        "createdByAgent": "writer",
        "lastAccessedByAgent": "reader",
        "accessCount": 7,
        "createdAt": "2024-03-01T10:00:00",
        "updatedAt": "2024-03-02T10:00:00.5",
        "lastAccessedAt": "2024-03-03T10:00:00.123456",
    } | changes


def without(document, *fields):
    return {name: value for name, value in document.items() if name not in fields}


def convert(raw, zone=UTC):
    return to_record(raw, zone)


def kinds(raw):
    return [note.kind for note in convert(raw)[1]]


def test_a_whole_document_becomes_a_record_with_its_provenance():
    document, notes = convert(legacy())
    assert notes == []
    assert decode_id(document.id) == ("ann", "default", "plan")
    assert document.value == 1
    assert document.metadata == {"source": "web"}
    assert (document.created_by_agent, document.last_accessed_by_agent, document.access_count) == (
        "writer",
        "reader",
        7,
    )
    assert document.created_at == "2024-03-01T10:00:00.000000Z"
    assert document.updated_at == "2024-03-02T10:00:00.500000Z"
    assert document.last_accessed_at == "2024-03-03T10:00:00.123456Z"
    assert document.expires_at is None


def test_the_same_document_becomes_the_same_record_and_a_changed_one_another_revision():
    assert convert(legacy()) == convert(legacy())
    revisions = {convert(legacy(**change))[0].revision for change in CHANGES}
    assert len(revisions) == len(CHANGES)
    assert all(len(revision) == 24 for revision in revisions)


def test_an_access_is_no_new_revision():
    accessed = legacy(accessCount=8, lastAccessedByAgent="another", lastAccessedAt="2025-01-01T00:00:00Z")
    assert convert(accessed)[0].revision == convert(legacy())[0].revision


CHANGES = ({}, {"value": 2}, {"metadata": {}}, {"expiresAt": "2030-01-01T00:00:00Z"}, {"updatedAt": "2025-01-01"})


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_every_value_is_taken_as_it_is(value):
    assert same(convert(legacy(value=value))[0].value, value)


def test_metadata_is_taken_as_it_is():
    assert same(convert(legacy(metadata=METADATA))[0].metadata, METADATA)


def test_metadata_of_null_is_left_out_and_noted():
    document, notes = convert(legacy(metadata={"gone": None, "there": 1}))
    assert document.metadata == {"there": 1}
    assert [tuple(note) for note in notes] == [("changed", "metadata is null at 'gone': left out")]
    document, notes = convert(legacy(metadata=None))
    assert document.metadata == {}
    assert [tuple(note) for note in notes] == [("filled", "its metadata is null: taken as {}")]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_name_that_is_one_is_taken_from_the_fields(name):
    document, notes = convert(legacy(user=name, namespace=name, key=name))
    assert decode_id(document.id) == (name, name, name)
    assert notes == []


class TestIds:
    """The fields say what a document is; the id is only compared."""

    @pytest.mark.parametrize(
        ("user", "namespace", "others"),
        [
            ("ann", "default", []),
            ("a-b", "c_d", []),
            ("a", "b:c", [("a:b", "c")]),
            ("a:b", "c", [("a", "b:c")]),
            ("a", "b:c:d", [("a:b", "c:d"), ("a:b:c", "d")]),
            ("a", ":b", [("a:", "b")]),
            ("a:", "b", [("a", ":b")]),
            ("a", "b:", []),  # a namespace has at least a character
        ],
    )
    def test_the_other_readings_of_an_id_are_exactly_the_other_ways_to_cut_it(self, user, namespace, others):
        raw = legacy(user=user, namespace=namespace)
        readings = other_readings(raw, Name(user, namespace, "plan"))
        assert readings == [Name(*other, "plan") for other in others]
        for reading in readings:
            assert raw_id(*reading) == raw["_id"]

    @given(user=PARTS, namespace=PARTS, other_user=PARTS, other_namespace=PARTS, key=st.text(min_size=1, max_size=4))
    def test_who_shares_an_id_is_a_reading_of_it_and_nobody_else(
        self, user, namespace, other_user, other_namespace, key
    ):
        one, other = Name(user, namespace, key), Name(other_user, other_namespace, key)
        shared = raw_id(*one) == raw_id(*other) and one != other
        assert (other in other_readings(legacy(*one), one)) is shared

    def test_an_id_that_is_not_that_of_the_fields_has_no_other_reading(self):
        assert other_readings(legacy("a", "b:c", _id="x"), Name("a", "b:c", "plan")) == []
        assert other_readings(legacy("a", "b:c", _id="a%3Ab:c:cGxhbg=="), Name("a", "b:c", "plan")) == []

    def test_both_of_two_that_share_an_id_are_told_apart_by_their_fields(self):
        one, other = legacy(user="a", namespace="b:c"), legacy(user="a:b", namespace="c")
        assert one["_id"] == other["_id"]
        assert convert(one)[0].id != convert(other)[0].id

    def test_an_id_with_colons_in_its_names_is_no_remark_by_itself(self):
        assert kinds(legacy(user="a", namespace="b:c")) == []

    @pytest.mark.parametrize(
        "encode",
        [b64encode, urlsafe_b64encode, lambda key: b64encode(key).rstrip(b"=")],
        ids=["standard", "url-safe", "unpadded"],
    )
    def test_keys_may_be_encoded_in_any_base64(self, encode):
        key = "??>>~~plan"
        assert kinds(legacy(key=key, _id=f"ann:default:{encode(key.encode()).decode()}")) == []

    def test_an_id_that_is_not_that_of_the_fields_is_mismatched_and_the_fields_count(self):
        document, notes = convert(legacy(_id=raw_id(user="bob")))
        assert decode_id(document.id).user_id == "ann"
        assert [note.kind for note in notes] == ["mismatched"]

    def test_an_id_in_our_own_format_is_right_as_well(self):
        assert kinds(legacy(user="a:b", _id="a%3Ab:default:cGxhbg==")) == [], "of the earlier one"
        assert kinds(legacy(user="a:b", _id=encode_id("a:b", "default", "plan"))) == []

    def test_a_document_without_an_id_is_taken_by_its_fields(self):
        assert kinds(without(legacy(), "_id")) == []

    def test_a_missing_key_is_taken_from_the_id(self):
        document, notes = convert(without(legacy(key="a/b é"), "key"))
        assert decode_id(document.id).key == "a/b é"
        assert [note.kind for note in notes] == ["filled"]

    def test_missing_names_are_taken_from_an_id_that_can_be_read_in_one_way(self):
        assert decode_id(convert(without(legacy(), "userId", "namespace", "key"))[0].id) == (
            "ann",
            "default",
            "plan",
        )
        assert decode_id(convert(without(legacy(namespace="b:c"), "namespace"))[0].id).namespace == "b:c"
        assert decode_id(convert(without(legacy(user="a:b"), "userId"))[0].id).user_id == "a:b"

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (without(legacy(namespace="b:c"), "userId", "namespace"), "can be read in several ways"),
            (without(legacy(), "_id", "key"), "has neither the fields"),
            (without(legacy(_id="nonsense"), "userId"), "has neither the fields"),
            (without(legacy(_id="x:y:cGxhbg=="), "userId"), "has no userId, and its id does not fit"),
            (without(legacy(_id="ann:default:?"), "key"), "does not end with one in base64"),
            (legacy(userId=""), "userId is empty"),
            (legacy(userId=1), "userId is an int"),
            (legacy(key="k" * 600), "key takes 600 bytes"),
        ],
    )
    def test_what_has_no_name_is_unreadable(self, raw, message):
        with pytest.raises(UnreadableError, match=message):
            convert(raw)


class TestFields:
    """What clients and older programs put in the place of what it should be."""

    def test_snake_case_is_taken_as_well(self):
        raw = {"id": raw_id(), "user_id": "ann", "namespace": "default", "key": "plan", "value": 1}
        raw |= {"created_by_agent": "writer", "access_count": 3, "created_at": "2024-03-01T10:00:00Z"}
        document, notes = convert(raw)
        assert (document.created_by_agent, document.access_count) == ("writer", 3)
        assert notes == []

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("2024-03-01T10:00:00", "2024-03-01T10:00:00.000000Z"),
            ("2024-03-01 10:00:00.25", "2024-03-01T10:00:00.250000Z"),
            ("2024-03-01T10:00:00.123456789Z", "2024-03-01T10:00:00.123456Z"),
            ("2024-03-01T10:00:00+02:00", "2024-03-01T08:00:00.000000Z"),
            (datetime(2024, 3, 1, 10, 0, 0, 1), "2024-03-01T10:00:00.000001Z"),
            (datetime(2024, 3, 1, 10, tzinfo=timezone(timedelta(hours=-5))), "2024-03-01T15:00:00.000000Z"),
            (1709287200, "2024-03-01T10:00:00.000000Z"),
            (Decimal("1709287200.5"), "2024-03-01T10:00:00.500000Z"),
            (1709287200000, "2024-03-01T10:00:00.000000Z"),
        ],
        ids=str,
    )
    def test_times_of_any_kind_are_understood(self, given, stored):
        document, notes = convert(legacy(createdAt=given))
        assert document.created_at == stored
        assert notes == []

    def test_a_time_without_a_zone_is_that_of_the_clock_that_wrote_it(self):
        document, _ = convert(legacy(createdAt="2024-07-01T10:00:00"), ZoneInfo("Europe/Berlin"))
        assert document.created_at == "2024-07-01T08:00:00.000000Z"

    def test_what_is_no_time_is_left_out_and_noted(self):
        document, notes = convert(legacy(updatedAt="yesterday"))
        assert document.updated_at == document.created_at
        assert notes[0].text == "updatedAt is not a valid time: left out"

    @pytest.mark.parametrize(
        ("given", "stored", "noted"),
        [
            (Decimal(1), 1, []),
            (Decimal("1.5"), 1.5, []),
            (Decimal("-0.1"), -0.1, []),
            (Decimal(10) ** 30, 10**30, []),
            (Decimal(10) ** 37, 10**37, []),
            (Decimal("1e100"), 1e100, ["changed"]),
            (Decimal("-2.5e120"), -2.5e120, ["changed"]),
            (Decimal("1e-130"), 1e-130, []),
            (Decimal(2**200), 2**200, []),  # no float prints like this
            (Decimal("0.12345678901234567890123"), 0.12345678901234568, ["changed"]),
            ([Decimal(2), {"n": Decimal(3)}], [2, {"n": 3}], []),
            ({"b", "a"}, ["a", "b"], ["changed"]),
            (datetime(2024, 3, 1, tzinfo=UTC), "2024-03-01T00:00:00Z", ["changed"]),
        ],
        ids=[
            "1",
            "1.5",
            "-0.1",
            "10**30",
            "10**37",
            "1e100",
            "-2.5e120",
            "1e-130",
            "2**200",
            "23-digits",
            "nested",
            "set",
            "time",
        ],
    )
    def test_what_clients_give_for_json_becomes_json(self, given, stored, noted):
        document, notes = convert(legacy(value=given))
        assert same(document.value, stored)
        assert [note.kind for note in notes] == noted

    @pytest.mark.parametrize(
        "value",
        [b"bytes", float("nan"), Decimal("NaN"), "x" * 1_000_001, object(), {1: 1}],
        ids=["bytes", "nan", "decimal-nan", "too-large", "object", "number-as-key"],
    )
    def test_what_no_record_can_hold_is_unreadable(self, value):
        with pytest.raises(UnreadableError, match="value"):
            convert(legacy(value=value))

    @pytest.mark.parametrize(
        ("given", "count", "noted"),
        [(Decimal(5), 5, []), (None, 0, []), (-1, 0, ["changed"]), ("many", 0, ["changed"]), (1.5, 0, ["changed"])],
        ids=str,
    )
    def test_counts(self, given, count, noted):
        document, notes = convert(legacy(accessCount=given))
        assert document.access_count == count
        assert [note.kind for note in notes] == noted

    def test_missing_fields_are_filled_and_noted(self):
        bare = {"_id": raw_id(), "userId": "ann", "namespace": "default", "key": "plan"}
        document, notes = convert(bare)
        assert document.value is None
        assert document.metadata == {}
        assert (document.created_by_agent, document.access_count) == (UNKNOWN, 0)
        assert document.created_at == document.updated_at == "1970-01-01T00:00:00.000000Z"
        assert (document.last_accessed_at, document.last_accessed_by_agent) == (None, None)
        assert [note.kind for note in notes] == ["filled"] * 3

    def test_a_document_that_this_store_has_written_among_them_is_taken_with_its_text(self):
        ours = without(legacy(revision="r", valueJson='{"n":1.0}', metadataJson="{}"), "value", "metadata")
        assert same(convert(ours)[0].value, {"n": 1.0})
        assert convert(ours)[1] == []
        assert same(convert(ours | {"value": {"n": 1}})[0].value, {"n": 1.0})
        with pytest.raises(UnreadableError, match="valueJson is not JSON"):
            convert(ours | {"valueJson": "{"})

    def test_a_missing_creation_is_at_the_first_time_that_is_known(self):
        assert convert(without(legacy(), "createdAt"))[0].created_at == "2024-03-02T10:00:00.500000Z"

    def test_the_last_access_has_both_an_agent_and_a_time_or_neither(self):
        assert convert(without(legacy(), "lastAccessedByAgent"))[0].last_accessed_by_agent == UNKNOWN
        document, _ = convert(without(legacy(), "lastAccessedAt"))
        assert document.last_accessed_at == document.updated_at

    def test_metadata_that_is_no_object_is_kept_inside_one(self):
        document, notes = convert(legacy(metadata=["a"]))
        assert document.metadata == {"metadata": ["a"]}
        assert [note.kind for note in notes] == ["changed"]

    def test_an_expiry_is_kept(self):
        assert convert(legacy(expiresAt="2030-01-01T00:00:00Z"))[0].expires_at == "2030-01-01T00:00:00.000000Z"
