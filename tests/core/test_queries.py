"""The query language: what the parser makes of a filter, and what it refuses."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from datastore import QueryError
from datastore.conformance import query_strategies as make
from datastore.conformance.query_cases import GROUPS
from datastore.conformance.query_mistakes import BAD_FILTERS, BAD_WINDOWS
from datastore.queries import tree as nodes
from datastore.queries.language import META_FIELDS, OPERATORS, parse, parse_query, to_document
from datastore.queries.matcher import compile_filter
from datastore.queries.paths import MISSING, parse_path
from datastore.queries.shaping import parse_fields, parse_sort, parse_window
from datastore.queries.tree import (
    EVERYTHING,
    And,
    Compare,
    ElementMatches,
    Exists,
    Field,
    HasType,
    In,
    Matches,
    Modulo,
    Not,
    Or,
    Query,
    Size,
    clauses,
)

A = ("a",)


def equal(value, path=A):
    return Field(path, Compare("$eq", value))


@pytest.mark.parametrize(
    ("filter", "tree"),
    [
        ({}, EVERYTHING),
        ({"a": 1}, equal(1)),
        ({"a": {"$eq": 1}}, equal(1)),
        ({"a": {"b": 1}}, equal({"b": 1})),
        ({"a": {}}, equal({})),
        ({"a": (1, (2,))}, equal([1, [2]])),
        ({"a": OrderedDict(b=1)}, equal({"b": 1})),
        (MappingProxyType({"a": 1}), equal(1)),
        ({"a.b.0": None}, equal(None, ("a", "b", "0"))),
        ({"a": 1, "b": 2}, And((equal(1), equal(2, ("b",))))),
        ({"a": {"$gt": 1, "$lte": 5}}, And((Field(A, Compare("$gt", 1)), Field(A, Compare("$lte", 5))))),
        ({"a": {"$ne": 1}}, Not(equal(1))),
        ({"a": {"$in": (1, (2,))}}, Field(A, In((1, [2])))),
        ({"a": {"$nin": []}}, Not(Field(A, In(())))),
        ({"a": {"$in": [1, {"$regex": "x"}]}}, Or((Field(A, In((1,))), Field(A, Matches("x", ""))))),
        ({"a": {"$in": [{"$regex": "x", "$options": "i"}]}}, Field(A, Matches("x", "i"))),
        ({"a": {"$nin": [{"$regex": "x"}]}}, Not(Field(A, Matches("x", "")))),
        ({"a": {"$all": [{"$regex": "x"}, 1]}}, And((equal(1), Field(A, Matches("x", ""))))),
        ({"a": {"$exists": 1}}, Field(A, Exists())),
        ({"a": {"$exists": False}}, Not(Field(A, Exists()))),
        ({"a": {"$not": {"$gt": 1}}}, Not(Field(A, Compare("$gt", 1)))),
        ({"a": {"$not": {"$ne": 1}}}, Not(Not(equal(1)))),
        ({"a": {"$type": 16}}, Field(A, HasType(("int",)))),
        ({"a": {"$type": ["string", 1, 2]}}, Field(A, HasType(("double", "string")))),
        ({"a": {"$type": [3, 4]}}, Field(A, HasType(("array", "object")))),
        ({"a": {"$type": [8, 10]}}, Field(A, HasType(("bool", "null")))),
        ({"a": {"$type": [18, 19]}}, Field(A, HasType(("decimal", "long")))),
        ({"a": {"$size": 2.0}}, Field(A, Size(2))),
        ({"a": {"$mod": [4.9, -1.5]}}, Field(A, Modulo(4, -1))),
        ({"a": {"$regex": "x", "$options": "smi"}}, Field(A, Matches("x", "ims"))),
        ({"a": {"$regex": "x", "$options": ""}}, Field(A, Matches("x", ""))),
        ({"a": {"$all": [1, 2]}}, And((equal(1), equal(2)))),
        ({"a": {"$all": [1]}}, equal(1)),
        ({"a": {"$all": []}}, Or(())),
        ({"a": {"$all": [{"$elemMatch": {"b": 1}}]}}, Field(A, ElementMatches(equal(1, ("b",))))),
        ({"a": {"$elemMatch": {"$gt": 1}}}, Field(A, ElementMatches(None, ((True, Compare("$gt", 1)),)))),
        ({"a": {"$elemMatch": {"$nin": [1]}}}, Field(A, ElementMatches(None, ((False, In((1,))),)))),
        ({"a": {"$elemMatch": {"$not": {"$ne": 1}}}}, Field(A, ElementMatches(None, ((True, Compare("$eq", 1)),)))),
        ({"a": {"$elemMatch": {"$or": [{"b": 1}]}}}, Field(A, ElementMatches(equal(1, ("b",))))),
        (
            {"a": {"$elemMatch": {"b": 1, "$or": [{"c": 1}]}}},
            Field(A, ElementMatches(And((equal(1, ("b",)), equal(1, ("c",)))))),
        ),
        (
            {"a": {"$elemMatch": {"$or": [{"c": 1}], "b": 1}}},
            Field(A, ElementMatches(And((equal(1, ("c",)), equal(1, ("b",)))))),
        ),
        ({"a": {"$elemMatch": {}}}, Field(A, ElementMatches(EVERYTHING))),
        ({"$and": [{"a": 1}]}, equal(1)),
        ({"$or": [{"a": 1}]}, equal(1)),
        ({"$or": [{"a": 1}, {}]}, Or((equal(1), EVERYTHING))),
        ({"$nor": [{"a": 1}]}, Not(equal(1))),
        ({"$nor": [{"a": 1}, {"a": 2}]}, Not(Field(A, In((1, 2))))),
        ({"$nor": [{"a": 1}, {"b": 2}]}, Not(Or((equal(1), equal(2, ("b",)))))),
    ],
    ids=str,
)
def test_a_filter_becomes_a_tree(filter, tree):
    assert parse(filter) == tree


@pytest.mark.parametrize(
    "node",
    [value for value in vars(nodes).values() if isinstance(value, type) and dataclasses.is_dataclass(value)],
    ids=lambda node: node.__name__,
)
def test_nobody_changes_a_tree(node):
    """A plan, and whoever keeps one, holds the same nodes as the query."""
    one = node.__new__(node)
    for field in dataclasses.fields(node):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field.name, None)


def test_clauses_are_what_must_hold_together():
    nested = parse({"a": {"$gt": 1, "$lt": 5}, "$and": [{"b": 1}, {"$and": [{"c": 1}, {"$or": [{"d": 1}, {"e": 1}]}]}]})
    assert [to_document(clause) for clause in clauses(nested)] == [
        {"a": {"$gt": 1}},
        {"a": {"$lt": 5}},
        {"b": {"$eq": 1}},
        {"c": {"$eq": 1}},
        {"$or": [{"d": {"$eq": 1}}, {"e": {"$eq": 1}}]},
    ]
    assert list(clauses(EVERYTHING)) == []


@pytest.mark.parametrize("name", GROUPS)
def test_a_tree_can_be_written_down_and_read_again(name):
    for filter, expected in GROUPS[name].asked:
        again = compile_filter(parse(to_document(parse(filter))))
        assert [number for number, document in enumerate(GROUPS[name].documents) if again(document)] == expected, filter


@settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(make.filters, make.documents)
@example({"a": {"$elemMatch": {"$exists": False, "$ne": None, "$nin": [1], "$not": {"$gt": 5}}}}, {"a": [1, 7]})
@example({"a": {"$elemMatch": {"$ne": 1, "$not": {"$eq": 2}}}}, {"a": [1]})
@example({"a": {"$elemMatch": {"$in": [1, 2], "$not": {"$nin": [2, 3]}}}}, {"a": [1, 3]})
def test_any_tree_can_be_written_down_and_read_again(filter, document):
    tree = parse(filter)
    again = parse(to_document(tree))
    assert compile_filter(again)(document) is compile_filter(tree)(document)
    assert to_document(parse(to_document(again))) == to_document(again)


@pytest.mark.parametrize(("filter", "message"), BAD_FILTERS, ids=[str(number) for number in range(len(BAD_FILTERS))])
def test_what_is_no_filter_is_refused_with_its_place(filter, message):
    with pytest.raises(QueryError) as refused:
        parse_query(filter)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"a": {"$all": [{"$gt": 1}]}}, "a.$all[0]: takes values and $regex, and no other operators"),
        ({"a": {"$all": [{"$elemMatch": {"b": 1}}, 5]}}, "a.$all[1]: beside an $elemMatch there can only be others"),
        ({"a": {"$all": [{"$elemMatch": {"$x": 1}}]}}, "a.$all[0].$elemMatch: unknown operator $x"),
        ({"a": {"$elemMatch": {"$all": [1]}}}, "a.$elemMatch.$all: cannot stand directly in $elemMatch"),
        ({"a": {"$elemMatch": {"$not": {"$all": [1]}}}}, "a.$elemMatch.$not.$all: cannot stand in $not"),
        ({"a": {"$elemMatch": {"$not": {"$gt": 1, "$lt": 2}}}}, "a.$elemMatch.$not: takes one operator here"),
        ({"a": {"$elemMatch": {"b": {"$in": 5}}}}, "a.$elemMatch.b.$in: takes a list"),
        ({"a": {"$elemMatch": {"$or": [{"b": {"$foo": 5}}]}}}, "a.$elemMatch.$or[0].b: unknown operator $foo"),
        ({"a": {"$not": {"$not": {"$size": "x"}}}}, "a.$not.$not.$size: takes a whole number"),
        ({"$nor": [{}, {"$and": [{"a": {"$type": 99}}]}]}, "$nor[1].$and[0].a.$type: 99 is no type of JSON"),
        ({"$or": [{"a..b": 1}]}, "$or[0]: the path 'a..b' has an empty step"),
        ({"a": {"$type": True}}, "a.$type: True is no type"),
        ({"a": {"$type": "objectId"}}, "a.$type: 'objectId' is no type of JSON"),
        ({"a": {"$mod": [4, "x"]}}, "a.$mod[1]: takes a number"),
        ({"a": {"$mod": [0.9, 1]}}, "a.$mod[0]: the divisor must not be 0"),
        ({"a": {"$not": {"$regex": "x", "$options": "q"}}}, "a.$not.$options: takes some of i, m, s, x"),
        ({"a": {"$regx": "x"}}, "a: unknown operator $regx (did you mean $regex?)"),
        ({"$ro": [{}]}, "filter: unknown operator $ro (did you mean $or?)"),
        ({"a": {"$expr": 1}}, "a: unknown operator $expr"),
        ({"a": {"$gt": [1, {2}]}}, 'filter.a["$gt"][1] is a set'),
        ({"a": "\ud800"}, "filter.a holds a lone surrogate"),
        (None, "filter is a NoneType"),
    ],
    ids=str,
)
def test_an_error_names_the_place(filter, message):
    with pytest.raises(QueryError) as refused:
        parse(filter)
    assert str(refused.value).startswith(message), refused.value


class NotToBeRead(Mapping):
    """Says that it is a mapping, and has nothing that can be read as one."""

    def __getitem__(self, name):
        raise TypeError

    def __iter__(self):
        raise TypeError

    def __len__(self):
        return 1


@pytest.mark.parametrize(
    ("filter", "meta", "place"),
    [
        (NotToBeRead(), None, "filter"),
        (None, NotToBeRead(), "meta"),
        ({"$or": [{"a": 1}, NotToBeRead()]}, None, "$or[1]"),
    ],
)
def test_a_mapping_that_cannot_be_read_is_refused_with_its_place(filter, meta, place):
    with pytest.raises(QueryError, match=re.escape(f"{place} is a NotToBeRead; it must be a dict")):
        parse_query(filter, meta)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_is_parsed(operator):
    operands = {
        "$in": [[]], "$nin": [[]], "$all": [[1]], "$exists": [True], "$type": ["int"], "$size": [0], "$mod": [[2, 0]],
        "$regex": ["x"], "$elemMatch": [{"$gt": 1}], "$not": [{"$gt": 1}],
    }  # fmt: skip
    for operand in operands.get(operator, [1, None, "x", [], {}, True, {"b": {"$gt": 1}}]):
        parse({"a": {operator: operand}})


@pytest.mark.parametrize(("window", "message"), BAD_WINDOWS, ids=[str(number) for number in range(len(BAD_WINDOWS))])
def test_what_is_no_window_is_refused(window, message):
    parser = (lambda: parse_fields(**window)) if "fields" in window else (lambda: parse_window(**window))
    with pytest.raises(QueryError) as refused:
        parser()
    assert str(refused.value).startswith(message)


def test_a_query_is_about_values_and_about_records():
    assert parse_query(None) == parse_query({}, {}) == Query()
    assert not parse_query({}, {})
    assert parse_query({"a": 1}, {"key": "k"}) == Query(equal(1), equal("k", ("key",)))
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    asked = parse_query(None, {"createdAt": {"$in": [at]}, "$or": [{"updatedAt": at}]})
    texts = [clause for clause in clauses(asked.meta) if "2026-11-21T12:00:00" in repr(clause)]
    assert len(texts) == 2
    for name in META_FIELDS:
        assert parse_query(None, {name: "x"})
    with pytest.raises(QueryError, match=r"^meta\.metdata\.x: a record has no 'metdata' \(did you mean 'metadata'\?\)"):
        parse_query(None, {"$nor": [{"metdata.x": 1}]})
    with pytest.raises(QueryError, match=r"^meta\.key: unknown operator \$foo"):
        parse_query(None, {"key": {"$foo": 1}})
    with pytest.raises(QueryError, match=r"^meta is a list"):
        parse_query(None, [])


def test_a_filter_is_about_the_value_the_record_or_both():
    """What needs both is kept from the databases, and only that."""
    value, record, both = {"a": 1}, {"$key": {"$gt": "k"}}, {"$or": [{"a": 1}, {"$metadata.b": 2}]}
    about = Field(("key",), Compare("$gt", "k"))
    mixed = Or((equal(1), Field(("$metadata", "b"), Compare("$eq", 2))))
    assert parse_query({**value, **record, **both}) == Query(equal(1), about, mixed)
    assert parse_query(record) == parse_query(None, {"key": {"$gt": "k"}}) == Query(meta=about)
    assert parse_query({"$nor": [record]}, {"accessCount": 0}) == Query(
        meta=And((equal(0, ("accessCount",)), Not(about)))
    )
    assert parse_query(both) == Query(both=mixed)
    assert bool(parse_query(both))
    assert to_document(mixed) == {"$or": [{"a": {"$eq": 1}}, {"$metadata.b": {"$eq": 2}}]}
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert parse_query({"$or": [{"$createdAt": {"$lt": at}}]}) == parse_query(None, {"createdAt": {"$lt": at}})
    with pytest.raises(QueryError, match="unknown operator"):
        parse(record)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T14:00:00+02:00",
        "2026-11-21T12:00:00Z",
        "2026-11-21t12:00:00z",
        "2026-11-21 12:00:00.000+00:00",
        "2026-11-21T06:30:00-05:30",
    ],
)
@pytest.mark.parametrize("field", ["createdAt", "updatedAt", "lastAccessedAt", "expiresAt"])
def test_text_with_an_offset_is_the_time_that_it_says(text, field):
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def asked(time):
        return parse_query(
            {f"${field}": {"$not": {"$gte": time}}},
            {field: time, "$or": [{field: {"$in": [time, None], "$lt": time}}, {field: {"$nin": [time]}}]},
        )

    assert asked(text) == asked(at) == asked("2026-11-21T12:00:00.000000Z")


@pytest.mark.parametrize("operand", ["2026-11", "2026-11-21", "2026-11-21T12:00:00", "soon", {"$regex": "^2026-11"}])
def test_text_without_an_offset_is_compared_as_text(operand):
    wanted = operand if isinstance(operand, dict) else {"$gte": operand}
    assert wanted.items() >= to_document(parse_query(None, {"createdAt": wanted}).meta)["createdAt"].items()


def test_what_looks_like_a_time_anywhere_else_is_left_as_it_is():
    time = "2026-11-21T14:00:00+02:00"
    for filter in ({"createdAt": time}, {"createdAt": 5}, {"at": {"$gt": time}}):
        assert parse_query(filter).value == parse(filter)
    for meta in (
        {"metadata": {"createdAt": time}},
        {"metadata.createdAt": 5},
        {"key": time},
        {"accessCount": {"$gt": 5}},
    ):
        assert parse_query(None, meta).meta == parse(meta, "meta")


@pytest.mark.parametrize(
    ("number", "instead"),
    [
        (1795262400, "2026-11-21T12:00:00Z"),
        (1795262400.5, "2026-11-21T12:00:00.500000Z"),
        (1795262400000, "2026-11-21T12:00:00Z"),
        (float("inf"), "2026-01-31T12:00:00Z"),
        (10**400, "2026-01-31T12:00:00Z"),
    ],
)
def test_a_number_is_no_time_and_the_error_says_what_to_write(number, instead):
    for filter, meta, place in (
        (None, {"createdAt": number}, "meta.createdAt"),
        (None, {"$or": [{"expiresAt": {"$not": {"$in": [None, number]}}}]}, "meta.$or[0].expiresAt.$not.$in[1]"),
        ({"$updatedAt": {"$gt": number}}, None, "$updatedAt.$gt"),
    ):
        with pytest.raises(QueryError) as caught:
            parse_query(filter, meta)
        assert str(caught.value) == f"{place}: takes a time and not a number; write {instead!r}, or a datetime"


def test_what_is_nested_without_end_is_refused():
    endless: dict[str, Any] = {}
    endless["$or"] = [endless]
    for filter, meta in ((endless, None), (None, endless), ({"$createdAt": endless}, None), ({"a": endless}, None)):
        with pytest.raises(QueryError, match="nested"):
            parse_query(filter, meta)


def test_missing_has_a_name_and_paths_are_text():
    assert repr(MISSING) == "MISSING"
    with pytest.raises(QueryError, match=r"^sort: the path is an int"):
        parse_path(5, "sort")


def test_what_answers_queries_is_imported_with_the_first_of_them():
    """Every process of an agent pays for what is imported at once."""
    code = (
        "import sys, datastore\n"
        "with datastore.connect('memory://') as store:\n"
        "    data_store = store.agent('user', 'agent')\n"
        "    data_store.set('key', {'a': 'x'})\n"
        "    early = {'re2', 'datastore.queries.matcher'} & set(sys.modules)\n"
        "    data_store.find({'a': 'x'})\n"
        "    before = 're2' in sys.modules\n"
        "    found = data_store.find({'a': {'$regex': 'x'}})\n"
        "    print(early, before, len(found), 're2' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["set()", "False", "1", "True"], result.stderr


def test_a_sort_names_at_most_32_paths():
    assert len(parse_sort([(f"f{number}", 1) for number in range(32)])) == 32
    with pytest.raises(QueryError, match="sort: names 33 paths; the limit is 32"):
        parse_sort([(f"f{number}", 1) for number in range(33)])
