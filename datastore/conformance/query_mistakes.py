"""What is no query, and how the error says so."""

from __future__ import annotations

import re
from typing import Any

BAD_FILTERS: list[tuple[Any, str]] = [
    ({"price": {"$gte2": 5}}, "price: unknown operator $gte2"),
    ({"$or": [{"a": 1}, {"price": {"$gte2": 5}}]}, r"$or[1].price: unknown operator $gte2"),
    ({"$where": "1"}, "filter: unknown operator $where"),
    ({"$not": {"a": 1}}, "filter: unknown operator $not"),
    ({"$or": []}, "$or: takes a non-empty list"),
    ({"$and": {"a": 1}}, "$and: takes a non-empty list"),
    ({"$nor": [1]}, "$nor[0]: is an int"),
    ({"a": {"$in": 5}}, "a.$in: takes a list"),
    ({"a": {"$in": [{"$gt": 5}]}}, "a.$in[0]: takes values"),
    ({"a": {"$all": "x"}}, "a.$all: takes a list"),
    ({"a": {"$not": 5}}, "a.$not: takes operators"),
    ({"a": {"$not": {}}}, "a.$not: takes operators"),
    ({"a": {"$exists": "yes"}}, "a.$exists: takes true or false"),
    ({"a": {"$type": "text"}}, "a.$type: 'text' is no type"),
    ({"a": {"$type": []}}, "a.$type: takes at least one type"),
    ({"a": {"$size": -1}}, "a.$size: takes a length"),
    ({"a": {"$size": 1.5}}, "a.$size: takes a whole number"),
    ({"a": {"$size": True}}, "a.$size: takes a whole number"),
    ({"a": {"$mod": [4]}}, "a.$mod: takes [divisor, remainder]"),
    ({"a": {"$mod": [0, 1]}}, "a.$mod[0]: the divisor must not be 0"),
    ({"a": {"$mod": ["4", 1]}}, "a.$mod[0]: takes a number"),
    ({"a": {"$regex": "("}}, "a.$regex: the pattern '(' does not compile"),
    (
        {"a": {"$regex": "b(?=c)"}},
        "a.$regex: the pattern 'b(?=c)' does not compile: at position 1 it has a look-around",
    ),
    ({"a": {"$regex": r"(b)\1"}}, "a.$regex: the pattern '(b)\\\\1' does not compile: at position 3 it has a back-ref"),
    ({"a": re.compile("b")}, "filter.a is a compiled regular expression; write {'$regex': "),
    ({"a": {"$in": [re.compile("b")]}}, "filter.a.$in[0] is a compiled regular expression"),
    ({f"a{number}": 1 for number in range(1_001)}, "filter: has 1,001 conditions, and may have 1,000"),
    ({"a": {"$all": list(range(1_001))}}, "a.$all: has 1,001 values, and may have 1,000"),
    ({".".join(["a"] * 201): 1}, "filter: the path 'a.a.a."),
    ({"a": {"$regex": 5}}, "a.$regex: takes a regular expression"),
    ({"a": {"$regex": "x", "$options": "g"}}, "a.$options: takes some of i, m, s, x"),
    ({"a": {"$options": "i"}}, "a.$options: goes with $regex"),
    ({"a": {"$elemMatch": 5}}, "a.$elemMatch: takes a filter or operators"),
    ({"a": {"$gt": 5, "b": 1}}, "a: $gt and 'b' cannot stand side by side"),
    ({"a..b": 1}, "filter: the path 'a..b' has an empty step"),
    ({"": 1}, "filter: the path '' has an empty step"),
    ({"a": {1, 2}}, "filter.a is a set"),
    ({"a": float("nan")}, "filter.a is nan"),
    ({1: 2}, "filter has a key that is an int"),
    (["a"], "filter is a list"),
    ("a", "filter is a str"),
]
"""What is no filter, and how the error begins."""

BAD_WINDOWS: list[tuple[dict[str, Any], str]] = [
    ({"limit": -1}, "limit is -1"),
    ({"limit": 0}, "limit is 0"),
    ({"limit": 1.0}, "limit is a float"),
    ({"limit": True}, "limit is a bool"),
    ({"skip": -1}, "skip is -1"),
    ({"skip": "1"}, "skip is a str"),
    ({"sort": 5}, "sort is an int"),
    ({"sort": [("a", 2)]}, "sort[0]: the direction is 1 or -1"),
    ({"sort": [("a", True)]}, "sort[0]: the direction is 1 or -1"),
    ({"sort": [("a..b", 1)]}, "sort[0]: the path 'a..b' has an empty step"),
    ({"sort": [("$a", 1)]}, "sort[0]: the path '$a' begins with $"),
    ({"sort": [(5, 1)]}, "sort[0]: the path is an int"),
    ({"sort": ["a"]}, "sort[0]: takes a pair"),
    ({"sort": [("a", 1), ("a", -1)]}, "sort[1]: 'a' is there already"),
    ({"fields": "a"}, "fields is a str"),
    ({"fields": []}, "fields: names at least one field"),
    ({"fields": {"a": 1, "b": 0}}, "fields: keep some (1) or leave some out (0)"),
    ({"fields": {"a": 2}}, "fields: each field is kept (1) or left out (0)"),
    ({"fields": ["a", "a.b"]}, "fields: 'a.b' is part of another field"),
    ({"fields": [1]}, "fields: the path is an int"),
]
"""Arguments of `find` that make no sense, and how the error begins."""
