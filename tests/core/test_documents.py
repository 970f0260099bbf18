"""What a stored document must be: one rule for documents that are read, and for those that are imported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.backend import BareDocuments, Document, DocumentPage
from datastore.documents import (
    MAX_COUNT,
    MAX_REVISION_BYTES,
    TOGETHER,
    UNDECODABLE,
    check,
    check_all_moved,
    check_moved,
    checked,
    damaged,
    decoded,
    is_time,
    key_of,
    living,
)
from datastore.errors import DamagedRecordError
from datastore.ids import decode_id, encode_key

AT = "2026-01-31T12:00:00.000000Z"
SOUND = Document(
    id=f"ann:default:{encode_key('plan')}",
    created_at=AT,
    revision="r1",
    expires_at=None,
    value={"a": [1, 2.5, None]},
    metadata={},
    created_by_agent="planner",
    updated_at=AT,
)
SECRET = "5ecret"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"created_by_agent": "", "updated_by_agent": ""},
        {"updated_by_agent": "é" * 127},
        {"expires_at": "9999-12-31T23:59:59.999999Z"},
        {"access_count": MAX_COUNT, "last_accessed_by_agent": "é" * 127, "last_accessed_at": AT},
        {"revision": "x" * MAX_REVISION_BYTES},
        {"created_at": "0001-01-01T00:00:00.000000Z"},
    ],
    ids=str,
)
def test_a_sound_document_is_taken(changes):
    document = SOUND._replace(**changes)
    assert check(document) is document
    assert check_moved(document) == '{"a":[1,2.5,null]}'


NO_TIMES = [
    None,
    5,
    b"2026-01-31T12:00:00.000000Z",
    "",
    SECRET,
    "2026-99-99T99:99:99.000000Z",
    "2026-02-30T12:00:00.000000Z",
    "２０２６-01-31T12:00:00.000000Z",
    "2026-01-31T12:00:00.000000Z\n",
    "2026-01-31 12:00:00.000000Z",
    "0000-01-01T00:00:00.000000Z",
    "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00.000000+00:00",
    "2026-01-31T24:00:00.000000Z",
    "2026-W05-6T12:00:00.000000Z",
]


@pytest.mark.parametrize("time", NO_TIMES, ids=ascii)
def test_a_time_is_rfc_3339_in_utc_with_microseconds_on_a_day_that_there_is(time):
    assert not is_time(time)
    for field in ("created_at", "updated_at"):
        refused(SOUND._replace(**{field: time}), "is not a time")
    if time is not None:
        for field in ("expires_at", "last_accessed_at"):
            refused(SOUND._replace(**{field: time}), "is not a time")


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        (
            "created_by_agent",
            [None, 5, {"x": SECRET}, [SECRET], SECRET * 50, "\ud800", b"a"],
            "createdByAgent is not",
        ),
        ("updated_by_agent", [5, {"x": SECRET}, [SECRET], "é" * 128, "\ud800"], "updatedByAgent is not"),
        ("last_accessed_by_agent", ["", 5, {"x": SECRET}, [SECRET], "é" * 128, "\ud800"], "lastAccessedByAgent is not"),
        ("access_count", [None, -1, 1.0, True, "1", 2**63, 2**70], "accessCount is not a whole number"),
        ("revision", [None, "", 5, SECRET * 100_000, "é" * 33, "\ud800", b"r"], "revision is not text"),
        ("metadata", [None, [], SECRET, 5, '{"a": 1}'], "metadata is not an object"),
    ],
)
def test_a_field_of_another_kind_is_refused(field, values, message):
    for value in values:
        refused(SOUND._replace(**{field: value}), message)


def refused(document, message):
    for look in (check, check_moved):
        with pytest.raises(DamagedRecordError, match=message) as caught:
            look(document)
        assert caught.value.id == SOUND.id
        assert SECRET not in str(caught.value), "no message quotes what is stored"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"access_count": MAX_COUNT + 1}, "accessCount"),
        ({"metadata": {"m": SECRET * 5_000}}, "metadata takes 30,"),
        ({"metadata": {"m": {SECRET}}}, "metadata.m is a set"),
        ({"value": "x" * 1_000_000}, "value takes 1,000,002 bytes"),
        ({"value": [10**4_300]}, "more than 4,300 digits"),
        ({"value": "\ud800"}, "lone surrogate"),
        ({"id": "ann:default:?"}, "its id is not one"),
        ({"id": "ann:default"}, "its id is not one"),
    ],
    ids=["count", "metadata", "set", "value", "digits", "text", "id", "short id"],
)
def test_what_is_taken_in_must_be_within_the_limits_as_well(changes, message):
    check(SOUND._replace(**changes))
    with pytest.raises(DamagedRecordError, match=message) as caught:
        check_moved(SOUND._replace(**changes))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"created_at": "yesterday"},
        {"access_count": MAX_COUNT + 1},
        {"metadata": {"m": SECRET * 5_000}},
        {"metadata": None},
        {"value": "x" * 1_000_000},
        {"value": "\ud800"},
        {"value": {SECRET}},
        {"value": float("nan")},
        {"id": "ann:default:?"},
        {"id": "ann%.:default:" + encode_key("plan")},
    ],
    ids=["sound", "time", "count", "metadata", "no metadata", "large", "text", "set", "nan", "id", "system id"],
)
@pytest.mark.parametrize("number", [1, TOGETHER])
def test_documents_that_are_checked_together_are_checked_as_one_by_one(changes, number):
    """The one that differs is named, and all others are taken."""
    documents = [SOUND._replace(id=f"ann:ns-{at // 2}:{encode_key(str(at))}", value=at) for at in range(number)]
    odd = SOUND._replace(**changes)
    documents.insert(number // 2, odd)
    sound, broken = check_all_moved(documents)
    reason = problem(odd)
    assert [error.message for error in broken] == ([] if reason is None else [reason])
    taken = [document for document in documents if reason is None or document is not odd]
    assert [one.document for one in sound] == taken
    assert [one.json for one in sound] == [check_moved(document) for document in taken]
    assert [one.name for one in sound] == [decode_id(document.id) for document in taken]


def problem(document):
    try:
        check_moved(document)
    except DamagedRecordError as error:
        return error.message
    return None


def test_there_is_room_for_counting_beyond_what_is_taken_in():
    check(SOUND._replace(access_count=2**63 - 1))


@pytest.mark.parametrize("end", ["", "?", "=", "a", "YQ", "YR==", "/w==", "YQ==YQ==", "ÿ", "YQ==\n", "x:NF"], ids=ascii)
def test_an_id_has_a_key_only_if_the_key_has_that_id(end):
    with pytest.raises(DamagedRecordError, match="no key has this id"):
        key_of(f"ann:default:{end}")
    assert key_of(f"ann:default:{encode_key('a')}") == "a"


@pytest.mark.parametrize("kind", UNDECODABLE)
def test_what_cannot_be_decoded_is_damage_and_nothing_of_it_is_told(kind):
    def decode():
        raise kind(SECRET)

    with pytest.raises(DamagedRecordError) as caught:
        decoded(SOUND.id, decode)
    assert caught.value.id == SOUND.id
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not isinstance(caught.value.__context__, kind), "it would be shown, too"


@pytest.mark.parametrize("error", [damaged(SOUND.id, "it is half a document"), MemoryError(), KeyboardInterrupt()])
def test_what_decoding_says_itself_passes(error):
    def decode():
        raise error

    assert decoded(SOUND.id, lambda: 1) == 1
    with pytest.raises(type(error)) as caught:
        decoded(SOUND.id, decode)
    assert caught.value is error


@pytest.mark.parametrize("expiries", [None, ["2030", None, "2031"]], ids=["no expiries", "expiries"])
def test_bare_documents_are_a_sequence_of_documents(expiries):
    ids = ["u:n:a", "u:n:b", "u:n:c"]
    bare = BareDocuments(ids, expiries)
    expected = [Document(id, "", "", expiry) for id, expiry in zip(ids, expiries or [None] * 3, strict=True)]
    assert list(bare) == expected
    assert len(bare) == 3
    assert [bare[place] for place in (0, 1, -1)] == [expected[0], expected[1], expected[2]]
    assert list(bare[::-1]) == expected[::-1]
    assert list(bare[1:]) == expected[1:]
    assert not BareDocuments([])
    assert expected[1] in bare


@given(st.lists(st.sampled_from([None, "2025", "2026", "2027", 7]), max_size=5))
def test_of_bare_documents_the_same_live_as_of_others(expiries):
    ids = [f"u:n:{number}" for number in range(len(expiries))]
    documents = [Document(id, "", "", expiry) for id, expiry in zip(ids, expiries, strict=True)]
    alike = [living(DocumentPage(some, None), "2026") for some in (documents, BareDocuments(ids, expiries))]
    assert list(alike[0].documents) == list(alike[1].documents)
    assert [str(error) for error in alike[0].damaged] == [str(error) for error in alike[1].damaged]


DAMAGE = st.sampled_from(
    [
        {},
        {"created_at": "2026"},
        {"updated_at": None},
        {"expires_at": "soon"},
        {"last_accessed_at": 5},
        {"revision": ""},
        {"revision": "é" * 40},
        {"created_by_agent": None},
        {"created_by_agent": "x" * 256},
        {"updated_by_agent": 5},
        {"updated_by_agent": None},
        {"last_accessed_by_agent": ""},
        {"access_count": -1},
        {"access_count": True},
        {"access_count": 2**63},
        {"metadata": None},
        {"metadata": []},
    ]
)


@given(st.lists(DAMAGE, min_size=1, max_size=3), st.sampled_from([0, TOGETHER]))
def test_together_the_same_documents_are_sound_as_one_by_one(changes, others):
    time = "2026-01-31T12:00:00.000000Z"
    sound = Document("u:n:k", time, "r" * 24, time, 1, {}, "a", time, 0, "a", time, "a")
    changes = [*changes, *[{}] * others]
    documents = [sound._replace(id=f"u:n:{number}", **change) for number, change in enumerate(changes)]

    def is_sound(document):
        try:
            return check(document) is document
        except DamagedRecordError:
            return False

    page = checked(DocumentPage(documents, None))
    assert list(page.documents) == [document for document in documents if is_sound(document)]
    assert len(page.documents) + len(page.damaged) == len(documents)
