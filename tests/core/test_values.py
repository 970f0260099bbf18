"""What can be stored: everything JSON, exactly; and what is refused, with the path."""

import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import pathlib
import re
import sys
import types
import uuid

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import InvalidValueError, ValueTooLargeError
from datastore.values import MAX_DEPTH, check_metadata, decode, decode_all, encode, encode_parsed, merge_metadata

text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


def exactly(value):
    """A value with its types, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: exactly(child) for key, child in value.items()}
    if isinstance(value, list):
        return [exactly(child) for child in value]
    return type(value), repr(value)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@given(values)
def test_a_value_comes_back_type_for_type(value):
    assert exactly(decode(encode(value))) == exactly(value)


@given(values)
def test_the_text_is_compact_json_that_any_reader_understands(value):
    text = encode(value)
    assert exactly(json.loads(text)) == exactly(value)
    assert not re.search(r"\s", re.sub(r'"(\\.|[^"\\])*"', "", text.removeprefix(" ")))


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30])
def test_an_integer_at_the_edge_of_a_machines_word_comes_back(number):
    assert exactly(decode(encode({"n": [number, -number, 0.5]}))) == exactly({"n": [number, -number, 0.5]})


@pytest.fixture(params=[640, 4_300, 100_000, 0], ids=lambda limit: f"limit {limit}")
def interpreters_limit(request):
    """What the host has made of `sys.set_int_max_str_digits`; 0 is no limit at all."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield request.param
    sys.set_int_max_str_digits(before)


LONGEST = 10**4_300 - 1


@pytest.mark.parametrize(
    "number",
    [10**599, -(10**600), 10**1_200 + 5, 7**5_000, LONGEST, -LONGEST],
    ids=["600", "601", "1201", "4226", "4300", "-4300"],
)
def test_an_integer_of_up_to_4300_digits_comes_back_whatever_the_interpreters_own_limit(number, interpreters_limit):
    value = {"n": [number, 1.0, "é", None, {}, [], (number,), 1, 0, -1]}
    assert decode(encode(value)) == {"n": [number, 1.0, "é", None, {}, [], [number], 1, 0, -1]}


@pytest.mark.parametrize("number", [LONGEST + 1, -LONGEST - 1, 1 << 1_000_000], ids=["4301", "-4301", "301030"])
def test_a_longer_integer_is_refused_by_its_path_whatever_the_interpreters_own_limit(number, interpreters_limit):
    with pytest.raises(InvalidValueError, match=re.escape("value.n[1] is an integer of more than 4,300 digits")):
        encode({"n": [1, number]})


@pytest.mark.parametrize("digits", ["1" * 4_301, "-" + "1" * 4_301, "1" * 1_000_000], ids=["4301", "-4301", "1000000"])
def test_a_longer_integer_in_stored_text_is_never_converted(digits, interpreters_limit, monkeypatch):
    converted = []
    monkeypatch.setattr("datastore.values.int", converted.append, raising=False)
    with pytest.raises(ValueError, match="more than 4,300 digits"):
        decode(f' {{"n": [{digits}]}}')
    assert converted == []


@pytest.mark.parametrize("text", [" NaN", " [Infinity]", " -Infinity", ' {"n": 1e999, "m": 1}', "NaN", "[1e999]"])
def test_stored_text_with_a_number_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        decode(text)


@pytest.mark.parametrize("stored", [None, b'{"a": 1}', 1, 1.5], ids=repr)
def test_what_is_stored_and_is_no_text_is_refused(stored):
    with pytest.raises(TypeError):
        decode(stored)


def test_tuples_and_subclasses_of_containers_are_taken_as_what_they_are_in_json():
    point = collections.namedtuple("point", "x y")  # noqa: PYI024  # the untyped kind is what is tested
    ordered = collections.OrderedDict(b=1, a=2)
    assert decode(encode([(1, (2,)), point(3, 4), ordered, collections.defaultdict(list, z=[])])) == [
        [1, [2]],
        [3, 4],
        {"b": 1, "a": 2},
        {"z": []},
    ]


def test_text_edited_by_hand_is_read_too():
    assert decode(' {"a": 1}\n') == {"a": 1}
    with pytest.raises(ValueError):
        decode('{"a": ')


def test_every_read_is_a_new_copy():
    stored = encode({"a": [1]})
    decode(stored)["a"].append(2)
    assert decode(stored) == {"a": [1]}


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"items": [0, 1, 2, {"when": datetime.datetime.min}]}, "value.items[3].when is a datetime; JSON has no"),
        ({"a b": {1, 2}}, 'value["a b"] is a set'),
        ([b"x"], "value[0] is a bytes"),
        (object(), "value is an object"),
        ({"id": uuid.UUID(int=0)}, "value.id is a UUID"),
        (decimal.Decimal(1), "value is a Decimal"),
        ({"x": {1: 2}}, "value.x has a key that is an int; keys must be str"),
        ({None: 2}, "value has a key that is a NoneType"),
        ({Colour.RED: 2}, "a key that is a Colour; keys must be str"),
        (float("nan"), "value is nan; JSON has no such number"),
        ({"x": [float("inf")]}, "value.x[0] is inf"),
        ({"x": float("-inf")}, "value.x is -inf"),
        ("\ud800", "value holds a lone surrogate, \\ud800 at index 0"),
        ({"x": ["é", "a\udfff"]}, "value.x[1] holds a lone surrogate, \\udfff at index 1"),
        ({"\ud800": 1}, "which holds a lone surrogate"),
        ({"c": Colour.RED}, "value.c is a Colour; convert it to str"),
        ([Level.LOW], "value[0] is a Level; convert it to int"),
        (nested(MAX_DEPTH + 1), "is nested deeper than 200 levels"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "-",
)
def test_what_is_not_json_is_refused_and_the_message_names_the_path(value, message):
    with pytest.raises(InvalidValueError, match=re.escape(message)) as caught:
        encode(value)
    assert isinstance(caught.value, TypeError)


class Model(pydantic.BaseModel):
    name: str = "x"


@dataclasses.dataclass
class Point:
    x: int = 1


Generic = type("generic", (), {"__module__": "numpy"})  # what NumPy's scalars are made from


@pytest.mark.parametrize(
    ("value", "instead", "stored"),
    [
        (Model(), "its model_dump(mode='json')", {"name": "x"}),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "its isoformat()", "2026-01-02T00:00:00+00:00"),
        (datetime.date(2026, 1, 2), "its isoformat()", "2026-01-02"),
        (datetime.time(1, 2), "its isoformat()", "01:02:00"),
        (datetime.timedelta(seconds=1), "its total_seconds()", 1.0),
        (type("float64", (Generic,), {"item": lambda self: 1.5})(), "its item()", 1.5),
        (type("int64", (Generic, int), {"item": lambda self: 2})(), "its item()", 2),
        (type("ndarray", (), {"__module__": "numpy", "tolist": lambda self: [1]})(), "its tolist()", [1]),
        (Point(), "dataclasses.asdict() of it", {"x": 1}),
        (frozenset({1}), "list() of it", [1]),
        ({1}, "list() of it", [1]),
        (iter([1]), "list() of it", [1]),
        (range(1), "list() of it", [0]),
        ({"a": 1}.keys(), "list() of it", ["a"]),
        (types.MappingProxyType({"a": 1}), "dict() of it", {"a": 1}),
        (uuid.UUID(int=0), "str() of it", "00000000-0000-0000-0000-000000000000"),
        (pathlib.PurePosixPath("a/b"), "str() of it", "a/b"),
        (b"x", "base64.b64encode() of it, decoded", "eA=="),
        (bytearray(b"x"), "base64.b64encode() of it, decoded", "eA=="),
        (decimal.Decimal("1.5"), "float() of it, or str() to keep each digit", 1.5),
        (fractions.Fraction(1, 2), "float() of it, or str() to keep it exact", 0.5),
        (Colour.RED, "its value", "red"),
        (Level.LOW, "its value", 1),
        (object(), "", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_json_says_what_to_store_instead_and_that_is_json(value, instead, stored):
    with pytest.raises(InvalidValueError) as caught:
        encode([value])
    said = str(caught.value).partition("; ")[2].partition("; ")[2]
    assert said == (f"store {instead}" if instead else "")
    if not instead:
        return
    names = {"base64": base64, "dataclasses": dataclasses, "it": value}
    call = instead.partition(",")[0].replace("() of it", "(it)").replace("its ", "it.")
    made = eval(call, names)
    made = made.decode() if isinstance(made, bytes) else made
    assert made == stored
    encode(made)


def test_nesting_up_to_the_limit_is_taken():
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    assert decode(encode([*nested(MAX_DEPTH - 1), 10**4000])) == [*nested(MAX_DEPTH - 1), 10**4000]


def test_a_value_that_holds_itself_is_refused():
    array = []
    array.append(array)
    array.append(array)
    table = {}
    table["self"] = table
    for value in (array, table):
        with pytest.raises(InvalidValueError, match="or holds itself"):
            encode(value)


def test_a_small_graph_that_is_a_huge_tree_is_refused_before_it_is_written_out():
    value = [1]
    for _ in range(100):
        value = [value, value]
    with pytest.raises(ValueTooLargeError, match="the limit is 1,000,000"):
        encode(value)


@pytest.mark.parametrize(
    ("fits", "too_large"),
    [
        ("x" * 999_998, "x" * 999_999),
        ("é" * 499_999, "é" * 500_000),
        (["\U0001f600" * 249_998], ["\U0001f600" * 249_999 + "x"]),
        ([0] * 499_999, [0] * 500_000),
    ],
    ids=["ascii", "two bytes", "four bytes", "array"],
)
def test_the_limit_is_a_million_bytes_of_utf8(fits, too_large):
    encode(fits)
    with pytest.raises(ValueTooLargeError, match=r"value takes 1,000,001|value takes 1,000,002") as caught:
        encode(too_large)
    assert isinstance(caught.value, ValueError)


def test_metadata_is_an_object_of_at_most_sixteen_kilobytes():
    check_metadata(None)
    check_metadata({"a": "x" * 15_992})
    with pytest.raises(ValueTooLargeError, match="metadata takes 16,001 bytes"):
        check_metadata({"a": "x" * 15_993})
    with pytest.raises(InvalidValueError, match="metadata is a list"):
        check_metadata([])
    with pytest.raises(InvalidValueError, match=re.escape("metadata.tags[0] is a set")):
        check_metadata({"tags": [set()]})


def test_metadata_is_merged_shallowly_and_none_removes():
    current = {"keep": 1, "replace": {"a": 1}, "remove": 2}
    changes = {"replace": {"b": 2}, "remove": None, "new": [None], "absent": None}
    assert merge_metadata(current, changes) == {"keep": 1, "replace": {"b": 2}, "new": [None]}
    assert current == {"keep": 1, "replace": {"a": 1}, "remove": 2}


def test_metadata_that_grows_too_large_by_merging_is_refused():
    with pytest.raises(ValueTooLargeError, match="as merged"):
        merge_metadata({"a": "x" * 9_000}, {"b": "x" * 9_000})


@given(st.lists(values))
def test_values_are_decoded_together_as_one_by_one(some):
    assert exactly(decode_all([encode(value) for value in some])) == exactly(some)


@pytest.mark.parametrize("wrong", ["", "{", b"1", b"[1]", None, 1, "NaN", " NaN", " 1e999"], ids=repr)
def test_text_that_is_no_value_is_refused_among_others_as_well(wrong):
    for texts in ([wrong], ["1", wrong, "2"], [wrong, " 36893488147419103232"]):
        with pytest.raises((ValueError, TypeError)):
            decode_all(texts)


@given(values)
def test_a_parsed_value_is_encoded_as_any_other(value):
    parsed = decode(encode(value))
    assert encode_parsed(parsed) == encode(value)


@pytest.mark.parametrize(
    "value",
    [nested(MAX_DEPTH), "[" * 1_000, [["{"] * 300], [{}] * 300, "x" * 999_998, [2**64] * 100],
    ids=["deepest", "brackets", "braces", "objects", "largest", "long integers"],
)
def test_a_parsed_value_within_the_limits_is_taken(value):
    assert encode_parsed(value) == encode(value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (nested(MAX_DEPTH + 1), InvalidValueError),
        (nested(300), InvalidValueError),
        ({"a": nested(MAX_DEPTH)}, InvalidValueError),
        ("x" * 999_999, ValueTooLargeError),
        ("é" * 500_000, ValueTooLargeError),
        ([2**70] * 50_000, ValueTooLargeError),
        ("\ud800", InvalidValueError),
    ],
    ids=["deep", "deeper", "deep in an object", "large", "large in bytes", "long integers", "lone surrogate"],
)
def test_a_parsed_value_beyond_the_limits_is_refused(value, error):
    with pytest.raises(error) as caught:
        encode_parsed(value)
    with pytest.raises(error) as as_always:
        encode(value)
    assert str(caught.value) == str(as_always.value)
