"""Values: exact over gRPC, native where Firestore holds them exactly, and in reach of its limits."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore.backend import Fields
from datastore.conformance.samples import same
from datastore.ids import encode_key
from datastore_firestore.codec import VALUE_LIMITS, arrays_in, fill, get_time, micros, set_time
from datastore_firestore.documents import MASKS
from tests.firestore.documents import plant, stored

pytestmark = pytest.mark.server("firestore")

NAME = f"u:default:{encode_key('k')}"

_characters = st.characters(exclude_categories=["Cs"])
_text = st.text(_characters, max_size=12)
_names = st.one_of(st.sampled_from(["", "__x__", "__type__", "a.b", "`", "\0", "\\", ".", "_", "__"]), _text)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**53 + 1, 0.0, -0.0, 1.0, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
    _text,
)
values = st.recursive(
    _scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_names, inner, max_size=4))
)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(values, min_size=1, max_size=12))
def test_what_comes_back_equals_what_went_in_type_for_type(agent, batch):
    items = {f"k{number:02}": value for number, value in enumerate(batch)}
    agent.set_many(items, {"value": batch[0]})
    assert same(agent.get_all(), items)
    metadata = agent.get_record("k00").metadata
    assert same(metadata, {} if batch[0] is None else {"value": batch[0]})
    agent.clear()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        -(2**63),
        2**63 - 1,
        1.0,
        "text",
        "x" * 999_998,
        {"a": {"b": [1, {"c": None}]}, "a.b": 1, "$x": 2, "é": 3},
        [],
        {},
        list(range(1_000)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_firestore_holds_exactly_is_native(agent, store, value):
    agent.set("k", value)
    fields = stored(agent, store)
    assert "value" in fields
    assert "valueJson" not in fields
    assert same(agent.get("k"), value)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        -0.0,
        {"a": -0.0},
        [[1]],
        {"a": [{"b": [[]]}]},
        {"": 1},
        {"__x__": 1},
        {"a": {"____": 1}},
        {"x" * 1_100: 1},
        nested(17),
        {f"f{number}": number for number in range(20_000)},
        list(range(30_000)),
        {"n" * 900: list(range(4_000))},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_it_would_not_is_json_text(agent, store, value):
    agent.set("k", value)
    fields = stored(agent, store)
    assert "value" not in fields
    assert fields["valueJson"].string_value
    assert same(agent.get("k"), value)


def test_a_value_that_becomes_native_leaves_no_text_behind_and_the_other_way_round(agent, store):
    for value in ([[1]], [1], [[2]], {"a": 1}):
        agent.set("k", value, {"m": value})
        assert same(agent.get("k"), value)
        fields = stored(agent, store)
        assert ("value" in fields) != ("valueJson" in fields)
        assert ("metadata" in fields) != ("metadataJson" in fields)


def test_the_largest_record_fits_one_document(store):
    """Every field at its limit, and beside it what the store adds: below 1 MiB."""
    user, namespace, key, agent = "u" * 255, "n" * 255, "k" * 512, "a" * 255
    data_store = store.agent(user, agent, namespace)
    metadata = {"m": [-0.0, "y" * (16_000 - 15)]}
    for value in ("x" * 999_998, ["x" * 90_000] * 11, [["x" * 999_994]], [[1] * 499_998]):
        data_store.set(key, value, metadata, ttl=1_000)
        data_store.get(key)
        store.flush()
        record = data_store.get_record(key)
        assert same(record.value, value)
        assert same(record.metadata, metadata)
        assert record.access_count > 0


def test_ids_as_long_as_they_get_and_names_with_slashes(store):
    data_store = store.agent("files:" + "é" * 100, "a", "files:owner/repo")
    data_store.set("k" * 512, 1)
    assert data_store.list_keys() == ["k" * 512]
    assert data_store.list_namespaces() == ["files:owner/repo"]


def test_what_an_administrator_sees_has_the_names_of_the_record(agent, store):
    agent.set("k", {"a": 1}, {"m": 1}, ttl=60)
    agent.get("k")
    store.flush()
    fields = stored(agent, store)
    assert set(fields) == {
        *("userId", "namespace", "key", "value", "metadata", "createdByAgent", "lastAccessedByAgent", "accessCount"),
        *("createdAt", "updatedAt", "lastAccessedAt", "revision", "expiresAt", "expiryMicros", "expires"),
        *("_id", "recentWrites", "recentCounts", "updatedByAgent"),
    }
    assert fields["_id"].string_value == agent.get_record("k").id
    times = {name for name in fields if fields[name].WhichOneof("value_type") == "timestamp_value"}
    assert times == {"createdAt", "updatedAt", "lastAccessedAt", "expiresAt"}  # fit for a TTL policy
    agent.set("k", 1)
    assert not {"expiresAt", "expiryMicros", "expires"} & set(stored(agent, store))


def test_a_document_of_the_version_that_did_not_note_who_wrote_last_says_nobody(agent, store, other):
    agent.set("k", 1)
    assert agent.get_record("k").updated_by_agent == "a"
    plant(store, agent.get_record("k").id, {"updatedByAgent": None})
    assert agent.get_record("k").updated_by_agent is None
    other.set("k", 2)
    assert agent.get_record("k").updated_by_agent == "b"


def test_a_value_that_a_person_put_there_and_that_is_no_json_says_so(agent, store):
    agent.set("k", 1)
    connection = store.backend._connection
    from google.cloud.firestore_v1.types import write

    change = write.Write.pb()()
    change.update.name = connection._settings.prefix + agent.get_record("k").id
    change.update_mask.field_paths.append("value")
    change.update.fields["value"].bytes_value = b"x"
    connection.commit([change])
    from datastore import DamagedRecordError

    with pytest.raises(DamagedRecordError, match="it holds a bytes_value"):
        agent.get("k")
    assert agent.list_keys() == ["k"]
    agent.set("k", 2)
    assert agent.get("k") == 2


@given(st.datetimes())
def test_times_keep_their_microseconds(moment):
    from google.cloud.firestore_v1.types import document

    text = f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"
    value = document.Value.pb()()
    set_time(value, text)
    assert get_time(value) == text
    assert micros(text) == value.timestamp_value.seconds * 1_000_000 + value.timestamp_value.nanos // 1_000


def test_a_value_that_does_not_fit_leaves_nothing_behind_in_the_message():
    from google.cloud.firestore_v1.types import document

    value = document.Value.pb()()
    assert not fill(value, {"a": 1, "b": [[2]]}, 100, VALUE_LIMITS)
    assert value.ByteSize() == 0


def test_reading_keys_asks_for_what_the_next_write_goes_by():
    assert {"createdAt", "revision", "expiresAt"} <= set(MASKS[Fields.KEY])


def test_documents_list_their_arrays():
    assert arrays_in({"a": 1, "b": {"c": {}}}) == []
    assert arrays_in({"a": [], "b": {"c": [{"d": [1]}]}}) == ["a", "b.c", "a\nb.c"]
    assert arrays_in([1, {"a": []}]) == []
    assert arrays_in({str(number): [] for number in range(11)}) == [""]
    assert arrays_in({"x" * 600: []}) == [""]
