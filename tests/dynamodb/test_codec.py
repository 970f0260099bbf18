"""What DynamoDB holds exactly is stored natively. A property test decides this over the wire, not a list of cases."""

import json
from decimal import Decimal
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore.backend import Fields
from datastore.ids import encode_key
from datastore.values import encode
from datastore_dynamodb import codec
from tests.full import times

pytestmark = pytest.mark.server("dynamodb")

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1.0, 1e-128, 5e-324, 1e125, 1e22, 1e16, 0.1, 10**38 - 1, 10**38, -(10**38), 10**37])
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


def types(value):
    """A value with the type of everything in it; floats told apart by their text, as -0.0 from 0.0."""
    if isinstance(value, dict):
        return {name: types(child) for name, child in value.items()}
    if isinstance(value, list):
        return [types(child) for child in value]
    return (type(value), repr(value))


@settings(max_examples=times(50, 150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, min_size=1, max_size=10))
def test_every_value_comes_back_over_the_wire_type_for_type(agent, values):
    agent.set("values", values)
    agent.set_many({str(number): value for number, value in enumerate(values)})
    assert types(agent.get("values")) == types(values)
    found = agent.get_many([str(number) for number in range(len(values))])
    assert types(found) == types({str(number): value for number, value in enumerate(values)})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(TEXT, VALUES.filter(lambda value: value is not None), max_size=4))
def test_metadata_comes_back_type_for_type(agent, metadata):
    agent.delete("k")
    agent.set("k", 1, metadata)
    assert types(agent.get_record("k").metadata) == types(metadata)


@settings(max_examples=500, deadline=None)
@given(value=VALUES)
def test_an_encoded_value_decodes_to_itself_and_its_size_is_known(value):
    encoded = codec.encode_value(value, encode(value))
    assert types(codec.decode_value({encoded.form: encoded.attribute}, Fields.ALL)[0]) == types(value)
    if encoded.form == codec.NATIVE:
        assert codec.size_of(encoded.attribute) <= 2 * len(encode(value).encode()) + 3


@pytest.mark.parametrize("value", [0, 1, -1, 1.5, "text", "", True, None, [], {}, {"a": [1, {"b": ""}]}, 10**38 - 1])
def test_what_fits_is_native(value):
    assert codec.encode_value(value, json.dumps(value)).form == codec.NATIVE


@pytest.mark.parametrize("value", [1.0, -0.0, 1e300, 1e-200, 10**38, {"": 1}, [[1.0]]])
def test_what_would_come_back_changed_is_text(value):
    assert codec.encode_value(value, json.dumps(value)).form == codec.JSON


def test_nesting_is_native_as_deep_as_dynamodb_goes(agent, items):
    deep = shallow = 1
    for _ in range(31):
        shallow = [shallow]
    for _ in range(32):
        deep = {"a": deep}
    agent.set_many({"shallow": shallow, "deep": deep})
    assert {item["key"]["S"]: "value" in item for item in items()} == {"shallow": True, "deep": False}
    assert agent.get_all() == {"shallow": shallow, "deep": deep}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1E+37", 10**37), ("1.5E+3", 1500), ("1E-7", 1e-7), ("0.0000001", 1e-7), ("12E2", 1200), ("-1E+2", -100)],
)
def test_numbers_are_understood_however_the_server_writes_them(text, number):
    found = codec.from_attribute({"N": text})
    assert (type(found), found) == (type(number), number)


def test_callers_never_see_a_decimal(agent):
    agent.set("k", {"a": [1, 2.5, 2**70]}, {"b": 1.5})
    record = agent.get_record("k")
    assert not any(isinstance(value, Decimal) for value in (*record.value["a"], record.metadata["b"]))


def test_an_item_reads_as_the_documents_do(agent, store, items):
    agent.set("plan", {"steps": [1, 2]}, {"source": "web"}, ttl=60)
    agent.get("plan")
    store.flush()
    (item,) = items()
    assert set(item) - {f"{kind}{number}" for kind in "wc" for number in range(1, 9)} == {
        "pk", "sk", "_id", "userId", "namespace", "key", "value", "metadata", "createdByAgent", "updatedByAgent",
        "lastAccessedByAgent", "accessCount", "createdAt", "updatedAt", "lastAccessedAt", "revision", "expiresAt",
        "expiresAtEpoch",
    }  # fmt: skip
    assert (item["pk"], item["sk"]) == ({"S": "u"}, {"S": f"default:{encode_key('plan')}"})
    assert item["value"] == {"M": {"steps": {"L": [{"N": "1"}, {"N": "2"}]}}}


def test_a_content_that_one_item_cannot_hold_is_split_as_any_other_value(agent, monkeypatch):
    monkeypatch.setattr(codec, "MAX_VALUE_SIZE", 2_000)
    content = Random(1).randbytes(9_000)  # not to be compressed
    agent.blobs.put("large", content)
    assert agent.blobs.get("large") == content
