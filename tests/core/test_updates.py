"""Update operators: the situations of MongoDB's manual, what is refused, and what does not fit a stored value.

The groups are named after the page of https://www.mongodb.com/docs/manual/reference/operator/update/ that says so.
"""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from typing import Any

import mongomock
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import InvalidValueError, QueryError
from datastore.conformance.samples import same
from datastore.queries.paths import MISSING
from datastore.queries.updates import compile_update

PRODUCT = {"item": "chisel", "details": {"model": "14Q3", "make": "xyz"}, "tags": ["coats"], "ratings": [{"by": "ijk"}]}
GRADES = {"grades": [{"grade": 80, "mean": 75}, {"grade": 85, "mean": 90}]}
QUIZZES = {"quizzes": [{"id": 1, "score": 6}, {"id": 2, "score": 9}]}
SURVEY = {"results": [{"item": "A", "score": 5}, {"item": "B", "score": 8}]}
DEEP = {
    "results": [{"answers": [{"q": 1, "a": 4}, {"q": 2, "a": 6}]}, {"answers": [{"q": 1, "a": 8}, {"q": 2, "a": 9}]}]
}
THREE = [{"id": 3, "score": 8}, {"id": 4, "score": 7}, {"id": 5, "score": 6}]
BIG = 2**70

WRITTEN_OUT: dict[str, list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]] = {
    "set": [
        ({"a": 1}, {"$set": {"a": 2, "b": {"c": [1]}}}, {"a": 2, "b": {"c": [1]}}),
        (PRODUCT, {"$set": {"details.make": "Kustom"}}, {**PRODUCT, "details": {"model": "14Q3", "make": "Kustom"}}),
        (
            PRODUCT,
            {"$set": {"tags.1": "rain gear", "ratings.0.rating": 2}},
            {**PRODUCT, "tags": ["coats", "rain gear"], "ratings": [{"by": "ijk", "rating": 2}]},
        ),
        ({}, {"$set": {"a.b.c": 1}}, {"a": {"b": {"c": 1}}}),
        ({}, {"$set": {"a.0": 1}}, {"a": {"0": 1}}),
        ({"a": []}, {"$set": {"a.2": 1}}, {"a": [None, None, 1]}),
        ({"a": []}, {"$set": {"a.1.b.c": 1}}, {"a": [None, {"b": {"c": 1}}]}),
        ({"a": {"b": 1}}, {"$set": {"a": None}}, {"a": None}),
        ({"a": {"b": {"b": 1}}}, {"$set": {"a.b.c.b.d": 2}}, {"a": {"b": {"b": 1, "c": {"b": {"d": 2}}}}}),
        ({"a": 1}, {"$set": {}}, {"a": 1}),
        ({"a": 1}, {"$set": {"b": (1, (2,))}}, {"a": 1, "b": [1, [2]]}),
        ({"a": 1}, {"$set": {"a": OrderedDict(x=1)}}, {"a": {"x": 1}}),
        ({"a": {"$x": 1}}, {"$set": {"a.$x": 2}}, {"a": {"$x": 2}}),
    ],
    "unset": [
        ({"a": 1, "b": 2}, {"$unset": {"a": ""}}, {"b": 2}),
        ({"a": 1}, {"$unset": {"b": "", "c.d": ""}}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"$unset": {"a.b": 1}}, {"a": {"c": 2}}),
        ({"a": [1, 2, 3]}, {"$unset": {"a.1": ""}}, {"a": [1, None, 3]}),
        ({"a": [1]}, {"$unset": {"a.5": "", "b.0": ""}}, {"a": [1]}),
        ({"a": [{"b": 1}]}, {"$unset": {"a.0.b": ""}}, {"a": [{}]}),
        ({"a": [{"b": 1}], "c": 5}, {"$unset": {"a.b": "", "c.d": ""}}, {"a": [{"b": 1}], "c": 5}),
    ],
    "inc": [
        (
            {"quantity": 10, "metrics": {"orders": 2, "ratings": 3.5}},
            {"$inc": {"quantity": -2, "metrics.orders": 1}},
            {"quantity": 8, "metrics": {"orders": 3, "ratings": 3.5}},
        ),
        ({}, {"$inc": {"a": 5, "b.c": 1.5}}, {"a": 5, "b": {"c": 1.5}}),
        ({"a": 1}, {"$inc": {"a": 0.5}}, {"a": 1.5}),
        ({"a": BIG, "b": 2**53}, {"$inc": {"a": 1, "b": 1}}, {"a": BIG + 1, "b": 2**53 + 1}),
        ({"a": [1, 2]}, {"$inc": {"a.1": 5, "a.3": 1}}, {"a": [1, 7, None, 1]}),
    ],
    "mul": [
        ({"price": 10.5, "qty": 25}, {"$mul": {"price": 1.5, "qty": 2}}, {"price": 15.75, "qty": 50}),
        ({}, {"$mul": {"a": 100, "b.c": 1.5}}, {"a": 0, "b": {"c": 0.0}}),
        ({"a": BIG}, {"$mul": {"a": 3}}, {"a": 3 * BIG}),
        ({"a": [2, 3]}, {"$mul": {"a.1": -1}}, {"a": [2, -3]}),
    ],
    "pop": [
        ({"scores": [8, 9, 10]}, {"$pop": {"scores": -1}}, {"scores": [9, 10]}),
        ({"scores": [9, 10]}, {"$pop": {"scores": 1}}, {"scores": [9]}),
        ({"a": [[1, 2], []]}, {"$pop": {"a.0": 1.0, "a.1": -1}}, {"a": [[1], []]}),
        ({"b": 1}, {"$pop": {"a": 1, "c.d": 1}}, {"b": 1}),
    ],
    "pullAll": [
        ({"scores": [0, 2, 5, 5, 1, 0]}, {"$pullAll": {"scores": [0, 5]}}, {"scores": [2, 1]}),
        ({"a": [{"x": 1, "y": 2}, {"x": 1}]}, {"$pullAll": {"a": [{"y": 2, "x": 1}]}}, {"a": [{"x": 1}]}),
        ({"a": [1, True, 1.0, [1]]}, {"$pullAll": {"a": (1,)}}, {"a": [True, [1]]}),
        ({"a": [1, {"$gt": 0}]}, {"$pullAll": {"a": [{"$gt": 0}]}}, {"a": [1]}),
        ({"b": 1}, {"$pullAll": {"a": [1], "c.d": []}}, {"b": 1}),
    ],
    "setOnInsert": [
        ({"a": 1}, {"$set": {"a": 2}, "$setOnInsert": {"b": 3}}, {"a": 2}),
    ],
    "min": [
        ({"high": 800, "low": 200}, {"$min": {"low": 150}}, {"high": 800, "low": 150}),
        ({"low": 150}, {"$min": {"low": 250}}, {"low": 150}),
        ({}, {"$min": {"a": 5}}, {"a": 5}),
        ({"a": None}, {"$min": {"a": 5}}, {"a": None}),
        ({"a": 5}, {"$min": {"a": None}}, {"a": None}),
        ({"a": "x"}, {"$min": {"a": 5}}, {"a": 5}),
        ({"a": 5}, {"$min": {"a": True}}, {"a": 5}),
        ({"a": [3]}, {"$min": {"a": (2, 9)}}, {"a": [2, 9]}),
        ({"a": BIG}, {"$min": {"a": BIG - 1}}, {"a": BIG - 1}),
        ({"at": "2013-10-01"}, {"$min": {"at": "2013-09-25"}}, {"at": "2013-09-25"}),
    ],
    "max": [
        ({"high": 800}, {"$max": {"high": 950}}, {"high": 950}),
        ({"high": 950}, {"$max": {"high": 870, "a.b": 1}}, {"high": 950, "a": {"b": 1}}),
        ({"a": None}, {"$max": {"a": 5}}, {"a": 5}),
        ({"a": 5}, {"$max": {"a": False}}, {"a": False}),
        ({"a": 2**53}, {"$max": {"a": 2**53 + 1}}, {"a": 2**53 + 1}),
        ({"a": 1}, {"$max": {"a": 1.0}}, {"a": 1}),
    ],
    "push": [
        ({"scores": [44]}, {"$push": {"scores": 89}}, {"scores": [44, 89]}),
        ({}, {"$push": {"scores": 89, "a.b": 1}}, {"scores": [89], "a": {"b": [1]}}),
        ({"scores": [44]}, {"$push": {"scores": {"$each": [90, 92]}}}, {"scores": [44, 90, 92]}),
        ({"scores": [44]}, {"$push": {"scores": [90, 92]}}, {"scores": [44, [90, 92]]}),
        ({"scores": [[1]]}, {"$push": {"scores.0": {"x": 1}}}, {"scores": [[1, {"x": 1}]]}),
        (
            QUIZZES,
            {"$push": {"quizzes": {"$each": THREE, "$sort": {"score": -1}, "$slice": 3}}},
            {"quizzes": [{"id": 2, "score": 9}, {"id": 3, "score": 8}, {"id": 4, "score": 7}]},
        ),
    ],
    "position": [
        ({"a": [100]}, {"$push": {"a": {"$each": [50, 60], "$position": 0}}}, {"a": [50, 60, 100]}),
        ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [20, 30], "$position": 2}}}, {"a": [1, 2, 20, 30, 3]}),
        ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [90, 80], "$position": -2}}}, {"a": [1, 90, 80, 2, 3]}),
        ({"a": [1]}, {"$push": {"a": {"$each": [2], "$position": 99}}}, {"a": [1, 2]}),
        ({"a": [1]}, {"$push": {"a": {"$each": [2], "$position": -99.0}}}, {"a": [2, 1]}),
    ],
    "slice": [
        ({"a": [40, 50, 60]}, {"$push": {"a": {"$each": [80, 78, 86], "$slice": -5}}}, {"a": [50, 60, 80, 78, 86]}),
        ({"a": [89, 90]}, {"$push": {"a": {"$each": [100, 20], "$slice": 3}}}, {"a": [89, 90, 100]}),
        ({"a": [89, 70, 89, 50]}, {"$push": {"a": {"$each": [], "$slice": -3}}}, {"a": [70, 89, 50]}),
        ({"a": [1]}, {"$push": {"a": {"$each": [2], "$slice": 0}}}, {"a": []}),
        ({"a": [1]}, {"$push": {"a": {"$each": [], "$slice": -9}}}, {"a": [1]}),
    ],
    "sort": [
        ({"a": [89, 70, 89, 50]}, {"$push": {"a": {"$each": [40, 60], "$sort": 1}}}, {"a": [40, 50, 60, 70, 89, 89]}),
        ({"a": [89, 70, 100, 20]}, {"$push": {"a": {"$each": [], "$sort": -1}}}, {"a": [100, 89, 70, 20]}),
        (
            {"a": ["x", None, 2, True, {"b": 1}, [1]]},
            {"$push": {"a": {"$each": [], "$sort": 1}}},
            {"a": [None, 2, "x", {"b": 1}, [1], True]},
        ),
        (
            {"a": [{"b": {"c": 2}, "d": 1}, {"d": 2}, {"b": {"c": 2}, "d": 3}]},
            {"$push": {"a": {"$each": [{"b": {"c": 1}, "d": 4}], "$sort": {"b.c": -1, "d": -1}}}},
            {"a": [{"b": {"c": 2}, "d": 3}, {"b": {"c": 2}, "d": 1}, {"b": {"c": 1}, "d": 4}, {"d": 2}]},
        ),
    ],
    "addToSet": [
        ({"tags": ["a", "b"]}, {"$addToSet": {"tags": "c"}}, {"tags": ["a", "b", "c"]}),
        ({"tags": ["a", "b"]}, {"$addToSet": {"tags": "a"}}, {"tags": ["a", "b"]}),
        ({"tags": ["a"]}, {"$addToSet": {"tags": ["b"]}}, {"tags": ["a", ["b"]]}),
        ({"tags": ["a"]}, {"$addToSet": {"tags": {"$each": ["a", "b", "b"]}}}, {"tags": ["a", "b"]}),
        ({}, {"$addToSet": {"a.tags": 1}}, {"a": {"tags": [1]}}),
        ({"a": [1, 1]}, {"$addToSet": {"a": 2}}, {"a": [1, 1, 2]}),
        ({"a": [1]}, {"$addToSet": {"a": {"$each": [True, 1.0, (1,)]}}}, {"a": [1, True, [1]]}),
        ({"a": [{"x": 1, "y": 2}]}, {"$addToSet": {"a": {"y": 2, "x": 1}}}, {"a": [{"x": 1, "y": 2}]}),
    ],
    "pull": [
        (
            {"fruits": ["apples", "pears", "oranges"], "vegetables": ["carrots"]},
            {"$pull": {"fruits": {"$in": ["apples", "oranges"]}, "vegetables": "carrots"}},
            {"fruits": ["pears"], "vegetables": []},
        ),
        ({"votes": [3, 5, 6, 7, 7, 8]}, {"$pull": {"votes": {"$gte": 6}}}, {"votes": [3, 5]}),
        (
            SURVEY,
            {"$pull": {"results": {"score": 8, "$or": [{"item": "A"}, {"item": "B"}]}}},
            {"results": [{"item": "A", "score": 5}]},
        ),
        ({"a": ["xa", "b", "c"]}, {"$pull": {"a": {"$in": ["b", {"$regex": "^x"}]}}}, {"a": ["c"]}),
        (SURVEY, {"$pull": {"results": {"score": 8, "item": "B"}}}, {"results": [{"item": "A", "score": 5}]}),
        (SURVEY, {"$pull": {"results": {"score": {"$gt": 4}}}}, {"results": []}),
        (
            SURVEY,
            {"$pull": {"results": {"$or": [{"item": "A"}, {"score": 1}]}}},
            {"results": [{"item": "B", "score": 8}]},
        ),
        (
            DEEP,
            {"$pull": {"results": {"answers": {"$elemMatch": {"q": 2, "a": {"$gte": 8}}}}}},
            {"results": DEEP["results"][:1]},
        ),
        ({"a": [[1, 2], [2, 1], 1]}, {"$pull": {"a": (1, 2)}}, {"a": [[2, 1], 1]}),
        ({"a": [1, True, 1.0, "1", None]}, {"$pull": {"a": 1}}, {"a": [True, "1", None]}),
        ({"a": [1, {"b": 1}, [{"b": 1}]]}, {"$pull": {"a": {"b": 1}}}, {"a": [1, [{"b": 1}]]}),
        ({"a": [[7], 7, 1]}, {"$pull": {"a": {"$gt": 5}}}, {"a": [1]}),
        ({"a": ["xa", "b", 5]}, {"$pull": {"a": {"$regex": "A$", "$options": "i"}}}, {"a": ["b", 5]}),
        ({"a": [1, None, 2]}, {"$pull": {"a": None}}, {"a": [1, 2]}),
        ({"b": 1}, {"$pull": {"a": 1, "c.d": 1}}, {"b": 1}),
    ],
    "rename": [
        ({"nmae": "Ada"}, {"$rename": {"nmae": "name"}}, {"name": "Ada"}),
        ({"name": {"first": "A"}}, {"$rename": {"name.first": "name.fname"}}, {"name": {"fname": "A"}}),
        ({"a": 1, "b": 2}, {"$rename": {"a": "b"}}, {"b": 1}),
        ({"b": 2}, {"$rename": {"a": "b", "c.d": "e"}}, {"b": 2}),
        ({"list": [1]}, {"$rename": {"missing": "list.0"}}, {"list": [1]}),
        ({"text": "x"}, {"$rename": {"missing": "text.deep"}}, {"text": "x"}),
        ({"list": [1]}, {"$rename": {"list.7": "n"}}, {"list": [1]}),
        ({"a": {"b": [1]}}, {"$rename": {"a.b": "c.d"}}, {"a": {}, "c": {"d": [1]}}),
        ({"a": None}, {"$rename": {"a": "b"}}, {"b": None}),
    ],
    "several at once": [
        (
            {"n": 1, "list": [3], "old": 0, "gone": 1},
            {"$inc": {"n": 1}, "$push": {"list": 4}, "$rename": {"old": "new"}, "$unset": {"gone": ""}},
            {"n": 2, "list": [3, 4], "new": 0},
        ),
        ({"a": {"x": 1}}, {"$set": {"a.y": 2}, "$inc": {"a.x": 1}}, {"a": {"x": 2, "y": 2}}),
    ],
    "no operators": [
        ({"a": 1, "b": {"x": 1}}, {"b": {"y": 2}, "c": (1,)}, {"a": 1, "b": {"y": 2}, "c": [1]}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a.b": 1}, {"c": {"d.e": 2}}, {"a.b": 1, "c": {"d.e": 2}}),
    ],
}


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [case for cases in WRITTEN_OUT.values() for case in cases],
    ids=[f"{name}-{number}" for name, cases in WRITTEN_OUT.items() for number in range(len(cases))],
)
def test_an_operator_does_what_the_manual_says(before, changes, after):
    assert same(compile_update(changes)(copy.deepcopy(before)), after)


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({"$setOnInsert": {"a.b": 1}, "$inc": {"n": 2}}, {"a": {"b": 1}, "n": 2}),
        ({"$setOnInsert": {}}, {}),
        ({"a": 1}, {"a": 1}),
        ({"$mul": {"n": 2.0}}, {"n": 0.0}),
    ],
)
def test_of_nothing_an_object_is_made(changes, made):
    update = compile_update(changes)
    assert same(update(MISSING), made)
    assert same(update(MISSING), made), "a second time, too"


def test_a_change_can_be_made_again_and_belongs_to_nobody():
    """Neither the caller's operands, nor one result, are in another result."""
    item = {"x": [1]}
    changes = {
        "$set": {"a": item}, "$push": {"b": item}, "$addToSet": {"c": {"$each": [item]}}, "$min": {"d": item},
        "$pull": {"e": {"x": [5]}},
    }  # fmt: skip
    update = compile_update(changes)
    first = update({})
    item["x"].append(2)
    changes["$pull"]["e"]["x"].append(6)
    first["a"]["x"].append(3)
    first["b"][0]["x"].append(3)
    assert update({"e": [{"x": [5]}]}) == {
        "a": {"x": [1]},
        "b": [{"x": [1]}],
        "c": [{"x": [1]}],
        "d": {"x": [1]},
        "e": [],
    }


WRONG: list[tuple[Any, str]] = [
    (
        {"a.b": 1},
        "changes: 'a.b' has a dot in it, but without an operator these are names of fields, not paths; to set",
    ),
    ({"a": 1, "b.": 1}, "changes: 'b.' has a dot in it"),
    ({"": 1}, "changes: a field has no name"),
    ({"a": 1, "$b": 1}, "changes: $b and 'a' cannot be mixed"),
    ({"$set": {"": 1}}, "$set: the path '' has an empty step"),
    (
        {"$currentDate": {"at": True}},
        "changes: $currentDate is not supported: JSON has no dates; when a record was changed",
    ),
    ({"$bit": {"n": {"and": 1}}}, "changes: $bit is not supported: compute the number in modify()"),
    ({"$mul": {"a": "2"}}, "$mul.a: takes a number, and got '2'"),
    ({"$mul": {"a": True}}, "$mul.a: takes a number"),
    ({"$pop": {"a": 0}}, "$pop.a: takes 1 for the last element or -1 for the first, and got 0"),
    ({"$pop": {"a": True}}, "$pop.a: takes 1 for the last"),
    ({"$pop": {"a": "1"}}, "$pop.a: takes 1 for the last"),
    ({"$pullAll": {"a": 1}}, "$pullAll.a: takes a list of the values to remove, and got 1"),
    ({"$push": {"a": {"$each": [], "$sort": {"$key": 1}}}}, "$push.a.$sort[0]: the path '$key' begins with $"),
    ({"$pull": {"a": {"x": 1, "$gt": 5}}}, "$pull.a: $gt and 'x' cannot be mixed"),
    ({"$pull": {"a": {"$or": [{"x": 1}], "$gt": 5}}}, "$pull.a: unknown operator $gt"),
    ({"$pull": {"a": {"$key": 5}}}, "$pull.a: unknown operator $key"),
    ({"$set": {"a": 1}, "$setOnInsert": {"a": 1}}, "changes: 'a' and 'a' overlap"),
    ({"$inc": {"a": 1}, "b": 1}, r"changes: $inc and 'b' cannot be mixed"),
    ({"$incr": {"a": 1}}, r"changes: unknown operator $incr (did you mean $inc?); the operators are $addToSet"),
    ({"$set": 5}, r"$set: takes fields in a dict, such as {'visits': 1}, and got 5"),
    ({"$set": None}, "$set: takes fields in a dict"),
    ({"$set": {"a..b": 1}}, "$set: the path 'a..b' has an empty step"),
    ({"$set": {"$a": 1}}, "$set: the path '$a' begins with $"),
    ({"$set": {"a.$.b": 1}}, "$set: the path 'a.$.b' has '$'; name a position"),
    ({"$inc": {"a.$[].b": 1}}, "$inc: the path 'a.$[].b' has '$[]'"),
    ({"$inc": {"a": "1"}}, "$inc.a: takes a number, and got '1'"),
    ({"$inc": {"a": True}}, "$inc.a: takes a number"),
    ({"$inc": {"a": None}}, "$inc.a: takes a number"),
    ({"$push": {"a": {"$each": 5}}}, "$push.a.$each: takes a list"),
    ({"$push": {"a": {"$slice": 5}}}, "$push.a.$each: takes a list; the other modifiers need it"),
    ({"$push": {"a": {"$each": [], "$up": 5}}}, "$push.a: unknown modifier $up"),
    ({"$push": {"a": {"$each": [], "b": 5}}}, "$push.a: unknown modifier b"),
    ({"$push": {"a": {"$each": [], "$slice": 1.5}}}, "$push.a.$slice: takes a whole number"),
    ({"$push": {"a": {"$each": [], "$slice": None}}}, "$push.a.$slice: takes a whole number"),
    ({"$push": {"a": {"$each": [], "$position": True}}}, "$push.a.$position: takes a whole number"),
    ({"$push": {"a": {"$each": [], "$sort": 2}}}, "$push.a.$sort: takes 1, -1"),
    ({"$push": {"a": {"$each": [], "$sort": True}}}, "$push.a.$sort: takes 1, -1"),
    ({"$push": {"a": {"$each": [], "$sort": {}}}}, "$push.a.$sort: takes 1, -1"),
    ({"$push": {"a": {"$each": [], "$sort": {"b": 2}}}}, "$push.a.$sort[0]: the direction must be 1 or -1"),
    ({"$addToSet": {"a": {"$each": [], "$slice": 1}}}, "$addToSet.a: unknown modifier $slice"),
    ({"$pull": {"a": {"$gt2": 1}}}, "$pull.a: unknown operator $gt2"),
    ({"$pull": {"a": {"b": {"$size": "x"}}}}, "$pull.a.b.$size: takes a whole number"),
    ({"$pull": {"a": {"$gt": 1, "b": 2}}}, "$pull.a: $gt and 'b' cannot be mixed"),
    ({"$pull": {"a": {"$regex": "("}}}, "$pull.a.$regex: the pattern '(' does not compile"),
    ({"$pull": {"a": re.compile("b")}}, "changes.$pull.a is a compiled regular expression; write {'$regex'"),
    ({"$rename": {"a": 5}}, "$rename.a: takes the new name as a str, and got 5"),
    ({"$rename": {"a": ""}}, "$rename.a: the path '' has an empty step"),
    ({"$rename": {"a": "b.$"}}, "$rename.a: the path 'b.$' has '$'"),
    ({"$rename": {"a": "a"}}, "changes: 'a' and 'a' overlap"),
    ({"$rename": {"a": "a.b"}}, "changes: 'a' and 'a.b' overlap"),
    ({"$set": {"a": 1}, "$inc": {"a": 1}}, "changes: 'a' and 'a' overlap"),
    ({"$set": {"a": 1, "a!": 1, "a.b.c": 1}}, "changes: 'a' and 'a.b.c' overlap"),
    ({"$push": {"a.b": 1}, "$unset": {"a": ""}}, "changes: 'a' and 'a.b' overlap"),
    ({"$rename": {"a": "b"}, "$set": {"b.c": 1}}, "changes: 'b' and 'b.c' overlap"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_no_update_is_refused(changes, message):
    with pytest.raises(QueryError) as refused:
        compile_update(changes)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (5, "changes is an int"),
        ([], "changes is a list"),
        ({"$set": {"a": {1, 2}}}, 'changes["$set"].a is a set'),
        ({"$inc": {"a": float("nan")}}, 'changes["$inc"].a is nan'),
        ({1: 2}, "changes has a key that is an int"),
    ],
)
def test_what_is_no_json_is_refused(changes, message):
    with pytest.raises(InvalidValueError) as refused:
        compile_update(changes)
    assert str(refused.value).startswith(message)


UNFIT: list[tuple[Any, dict[str, Any], str]] = [
    ("text", {"$set": {"a": 1}}, "the stored value is text; only an object can be updated"),
    ([], {"a": 1}, "the stored value is an array; only an object can be updated"),
    ({"a": "1"}, {"$inc": {"a": 1}}, "$inc cannot be applied to 'a' of the stored value: it is text, not a number"),
    ({"a": None}, {"$inc": {"a": 1}}, "$inc cannot be applied to 'a' of the stored value: it is null"),
    ({"a": True}, {"$inc": {"a": 1}}, "$inc cannot be applied to 'a' of the stored value: it is a boolean"),
    ({"a": 10**400}, {"$inc": {"a": 0.5}}, "$inc cannot be applied to 'a' of the stored value: the sum is beyond"),
    ({"a": 1e308}, {"$inc": {"a": 1e308}}, "$inc cannot be applied to 'a' of the stored value: the sum is beyond"),
    ({"a": 1e308}, {"$mul": {"a": 10}}, "$mul cannot be applied to 'a' of the stored value: the product is beyond"),
    ({"a": 10**400}, {"$mul": {"a": 0.5}}, "$mul cannot be applied to 'a' of the stored value: the product is beyond"),
    ({"a": "2"}, {"$mul": {"a": 2}}, "$mul cannot be applied to 'a' of the stored value: it is text, not a number"),
    ({"a": 5}, {"$pop": {"a": 1}}, "$pop cannot be applied to 'a' of the stored value: it is a number, not an array"),
    ({"a": 5}, {"$pop": {"a.b": 1}}, "$pop cannot be applied to 'a.b' of the stored value: there is no field 'b'"),
    ({"a": "x"}, {"$pullAll": {"a": ["x"]}}, "$pullAll cannot be applied to 'a' of the stored value: it is text"),
    ({"a": [{"b": 1}]}, {"$rename": {"a.b": "c"}}, "$rename cannot be applied to 'a.b' of the stored value: an array"),
    ({"a": 5}, {"$push": {"a": 1}}, "$push cannot be applied to 'a' of the stored value: it is a number, not an array"),
    ({"a": None}, {"$push": {"a": 1}}, "$push cannot be applied to 'a' of the stored value: it is null"),
    ({"a": {}}, {"$addToSet": {"a": 1}}, "$addToSet cannot be applied to 'a' of the stored value: it is an object"),
    ({"a": "x"}, {"$pull": {"a": "x"}}, "$pull cannot be applied to 'a' of the stored value: it is text"),
    ({"a": 5}, {"$pull": {"a.b": 1}}, "$pull cannot be applied to 'a.b' of the stored value: there is no field 'b'"),
    ({"a": 5}, {"$set": {"a.b": 1}}, "$set cannot be applied to 'a.b' of the stored value: there is no field 'b' in a"),
    ({"a": None}, {"$set": {"a.b": 1}}, "$set cannot be applied to 'a.b' of the stored value: there is no field 'b'"),
    ({"a": [1]}, {"$set": {"a.b": 1}}, "$set cannot be applied to 'a.b' of the stored value: an array has positions"),
    ({"a": [1]}, {"$set": {"a.00": 1}}, "$set cannot be applied to 'a.00' of the stored value: an array has positions"),
    ({"a": [1]}, {"$set": {"a.-1": 1}}, "$set cannot be applied to 'a.-1' of the stored value: an array has"),
    ({"a": []}, {"$set": {"a.900000": 1}}, "$set cannot be applied to 'a.900000' of the stored value: position 900000"),
    ({"a": [{"b": 1}]}, {"$rename": {"a.0.b": "c"}}, "$rename cannot be applied to 'a.0.b' of the stored value: there"),
    (
        {"a": [1], "b": 1},
        {"$rename": {"b": "a.0"}},
        "$rename cannot be applied to 'b' of the stored value: there is an",
    ),
    ({"a": 5}, {"$rename": {"a.b": "c"}}, "$rename cannot be applied to 'a.b' of the stored value: there is no field"),
]


@pytest.mark.parametrize(("stored", "changes", "message"), UNFIT, ids=[str(number) for number in range(len(UNFIT))])
def test_an_operator_that_does_not_fit_says_why(stored, changes, message):
    with pytest.raises(InvalidValueError) as refused:
        compile_update(changes)(copy.deepcopy(stored))
    assert str(refused.value).startswith(message)


numbers = st.one_of(st.integers(-3, 5), st.sampled_from([0.5, 2.5, 2**40]))
texts = st.sampled_from(["x", "y", "z"])
lists = st.lists(st.one_of(numbers, texts), max_size=4)
stored = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers, "m": numbers, "list": lists, "set": lists, "stack": lists, "few": lists,
        "text": texts, "o": st.just({"n": 1}),
    },
)  # fmt: skip
plain_items = st.one_of(numbers, texts)
pushed = st.one_of(
    plain_items,
    st.builds(lambda items: {"$each": items}, lists),
    st.builds(lambda items, length: {"$each": items, "$slice": length}, lists, st.integers(-3, 3)),
    st.builds(lambda items, where: {"$each": items, "$position": where}, lists, st.integers(0, 4)),
)
operators = st.fixed_dictionaries(
    {},
    optional={
        "$inc": st.fixed_dictionaries({}, optional={"n": numbers, "o.n": numbers}),
        "$max": st.fixed_dictionaries({}, optional={"m": numbers}),
        "$pop": st.fixed_dictionaries({}, optional={"stack": st.sampled_from([1, -1])}),
        "$pullAll": st.fixed_dictionaries({}, optional={"few": lists}),
        "$setOnInsert": st.fixed_dictionaries({}, optional={"first": plain_items}),
        "$set": st.fixed_dictionaries({}, optional={"text": texts, "new.deep": plain_items}),
        "$push": st.fixed_dictionaries({}, optional={"list": pushed}),
        "$addToSet": st.fixed_dictionaries({}, optional={"set": plain_items}),
        "$unset": st.fixed_dictionaries({}, optional={"gone": st.just("")}),
    },
)


@settings(
    max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(stored, operators, st.one_of(st.none(), plain_items, st.builds(lambda n: {"$gt": n}, numbers)))
def test_updates_agree_with_mongomock(document, changes, pulled):
    """On what mongomock does rightly.

    It takes no nested `$rename` and no `$mul`, cannot `$pop` what is missing, and its `$sort` and `$min` know no other
    types.
    """
    if "stack" not in document:
        changes = {name: fields for name, fields in changes.items() if name != "$pop"}
    if pulled is not None:
        changes = {**changes, "$pull": {"pulled": pulled}}
        document = {**document, "pulled": [1, 2, 3, "x", 2.5]}
    collection = mongomock.MongoClient().database.collection
    collection.insert_one({"_id": 1, **copy.deepcopy(document)})
    ours = compile_update(changes)(copy.deepcopy(document))
    if changes:
        collection.update_one({"_id": 1}, copy.deepcopy(changes))
    theirs = collection.find_one({"_id": 1})
    theirs.pop("_id")
    assert same(ours, theirs)


def test_one_update_cannot_fill_the_memory_with_long_arrays():
    """Each of them would be short enough; all together they are more than any value."""
    update = compile_update({"$set": {f"a.{number}.150000": 1 for number in range(50)}})
    with pytest.raises(InvalidValueError, match="would grow beyond what a value can hold"):
        update({"a": [[] for _ in range(50)]})
