"""What filters mean, written out: the situations of MongoDB's manual, and its awkward corners.

Each group is some documents, and filters with the numbers of the documents that match. The groups are named after the
page of https://www.mongodb.com/docs/manual/reference/operator/query/ (or another page of the manual) that says so.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Group(NamedTuple):
    """Documents and what is asked about them."""

    documents: list[Any]
    asked: list[tuple[dict[str, Any], list[int]]]


_INVENTORY = [
    {"item": {"name": "ab", "code": "123"}, "qty": 15, "tags": ["A", "B", "C"]},
    {"item": {"name": "cd", "code": "123"}, "qty": 20, "tags": ["B"]},
    {"item": {"name": "ij", "code": "456"}, "qty": 25, "tags": ["A", "B"]},
    {"item": {"name": "xy", "code": "456"}, "qty": 30, "tags": ["B", "A"]},
    {"item": {"name": "mn", "code": "000"}, "qty": 20, "tags": [["A", "B"], "C"]},
]
_TYPES = [
    {"x": None}, {"x": True}, {"x": False}, {"x": 0}, {"x": 1}, {"x": 1.0}, {"x": 1.5}, {"x": 2**40}, {"x": 2**70},
    {"x": ""}, {"x": "1"}, {"x": []}, {"x": [1]}, {"x": {}}, {"x": {"y": 1}}, {"x": [None]}, {}, {"y": 1}, 5,
    [1], "x", None,
]  # fmt: skip
_NUMBERED = [
    42, [42], {"0": 42}, [[42]], [{"0": 42}], {"0": [42]}, {"0": {"0": 42}}, [[[42]]], [[{"0": 42}]], [{"0": [42]}],
    [{"0": {"0": 42}}], {"0": [[42]]}, {"0": [{"0": 42}]}, {"0": {"0": [42]}}, {"0": {"0": {"0": 42}}}, [[[[42]]]],
    [[[{"0": 42}]]], [[{"0": [42]}]], [[{"0": {"0": 42}}]], [{"0": [[42]]}], [{"0": [{"0": 42}]}], [{"0": {"0": [42]}}],
    [{"0": {"0": {"0": 42}}}], {"0": [[[42]]]}, {"0": [[{"0": 42}]]}, {"0": [{"0": [42]}]}, {"0": [{"0": {"0": 42}}]},
    {"0": {"0": [[42]]}}, {"0": {"0": [{"0": 42}]}}, {"0": {"0": {"0": [42]}}}, {"0": {"0": {"0": {"0": 42}}}},
]  # fmt: skip
_SURVEY = [
    {"results": [82, 85, 88]},
    {"results": [75, 88, 89]},
    {"results": [{"product": "abc", "score": 10}, {"product": "xyz", "score": 5}]},
    {"results": [{"product": "abc", "score": 8}, {"product": "xyz", "score": 7}]},
    {"results": [{"product": "abc", "score": 7}, {"product": "def", "score": 8}]},
    {"results": {"product": "xyz", "score": 5}},
    {"results": []},
]
_PRODUCTS = [
    {"sku": "abc123", "description": "Single line description."},
    {"sku": "abc789", "description": "First line\nSecond line"},
    {"sku": "xyz456", "description": "Many spaces before     line"},
    {"sku": "xyz789", "description": "Multiple\nline description"},
    {"sku": "Abc789", "description": "SKU starting with A"},
    {"sku": ["def", "abc000"], "description": 7},
]
_CHARACTERS = [
    "k", "K", "a", "\u212a", "s", "ſ", "é", "7", "٣", "_", "É", "σ", "ς", " ", "\n", "a\0b", "a\nb", "a\n", "a b",
    "\na\n\nb", "KL", "so", "🔑🔑", "",
]  # fmt: skip
_NAMES = [
    {"a b": 1}, {"é": 1}, {'q"u': 1}, {"b\\s": 1}, {"$x": 1}, {"a.b": 1}, {"a": {"b": 1}}, {"": 1}, {"*": 1},
    {"`": 1}, {"a[0]": 1}, {"[0]": 1}, {"_id": 1}, {"value": 1}, {"A": 1}, {"'": 1}, {"a": {"$x": 1}}, {"\0": 1},
    {"?": 1}, {":x": 1},
]  # fmt: skip
_VALUES = [
    {"v": 2**53}, {"v": 2**53 + 1}, {"v": float(2**53)}, {"v": 2**63}, {"v": 2**64 + 1}, {"v": -0.0}, {"v": 0},
    {"v": 1e308}, {"v": "a"}, {"v": "A"}, {"v": "é"}, {"v": "e\u0301"}, {"v": "a\0b"}, {"v": "🔑"}, {"v": "\uffee"},
    {"v": "x" * 2_000}, {"v": "x" * 1_999 + "y"}, {"v": "a "}, {"v": 10}, {"v": "10"}, {"v": 0.1},
]  # fmt: skip

GROUPS: dict[str, Group] = {
    "eq": Group(
        _INVENTORY,
        [
            ({"qty": {"$eq": 20}}, [1, 4]),
            ({"qty": 20}, [1, 4]),
            ({"item.name": {"$eq": "ab"}}, [0]),
            ({"tags": {"$eq": "B"}}, [0, 1, 2, 3]),
            ({"tags": {"$eq": ["A", "B"]}}, [2, 4]),
            ({"tags": ["B", "A"]}, [3]),
            ({"item": {"name": "ab", "code": "123"}}, [0]),
            ({"item": {"name": "ab"}}, []),
            ({"tags": "D"}, []),
            ({}, [0, 1, 2, 3, 4]),
        ],
    ),
    "comparison": Group(
        _INVENTORY,
        [
            ({"qty": {"$gt": 20}}, [2, 3]),
            ({"qty": {"$gte": 20}}, [1, 2, 3, 4]),
            ({"qty": {"$lt": 20}}, [0]),
            ({"qty": {"$lte": 20}}, [0, 1, 4]),
            ({"qty": {"$gt": 15, "$lt": 30}}, [1, 2, 4]),
            ({"qty": {"$gt": 19.5}}, [1, 2, 3, 4]),
            ({"qty": {"$ne": 20}}, [0, 2, 3]),
            ({"qty": {"$gt": "1"}}, []),
            ({"item.name": {"$gte": "ij"}}, [2, 3, 4]),
            ({"item.name": {"$lt": "cd"}}, [0]),
            ({"tags": {"$gt": "B"}}, [0, 4]),
            ({"missing": {"$gt": 0}}, []),
            ({"missing": {"$ne": 0}}, [0, 1, 2, 3, 4]),
        ],
    ),
    "in": Group(
        _INVENTORY,
        [
            ({"qty": {"$in": [15, 30]}}, [0, 3]),
            ({"tags": {"$in": ["A", "C"]}}, [0, 2, 3, 4]),
            ({"tags": {"$in": [["A", "B"]]}}, [2, 4]),
            ({"qty": {"$in": []}}, []),
            ({"qty": {"$nin": [15, 30]}}, [1, 2, 4]),
            ({"missing": {"$in": [None]}}, [0, 1, 2, 3, 4]),
            ({"missing": {"$nin": [1]}}, [0, 1, 2, 3, 4]),
            ({"tags": {"$nin": ["A"]}}, [1, 4]),
            ({"qty": {"$nin": []}}, [0, 1, 2, 3, 4]),
        ],
    ),
    "logic": Group(
        _INVENTORY,
        [
            ({"$and": [{"qty": {"$gt": 15}}, {"item.code": "456"}]}, [2, 3]),
            ({"$or": [{"qty": 15}, {"item.code": "000"}]}, [0, 4]),
            ({"$nor": [{"qty": 20}, {"tags": "A"}]}, []),
            ({"$nor": [{"qty": 20}, {"item.name": "ab"}]}, [2, 3]),
            ({"qty": {"$not": {"$gt": 20}}}, [0, 1, 4]),
            ({"missing": {"$not": {"$gt": 20}}}, [0, 1, 2, 3, 4]),
            ({"qty": {"$not": {"$gte": 20, "$lt": 30}}}, [0, 3]),
            ({"$or": [{"$and": [{"qty": 20}, {"tags": "B"}]}, {"qty": 30}]}, [1, 3]),
            ({"item.name": {"$not": {"$regex": "^[ac]"}}}, [2, 3, 4]),
            ({"qty": 20, "item.code": "000"}, [4]),
            ({"$or": [{"qty": {"$lt": 20}}, {"$nor": [{"tags": "B"}]}]}, [0, 4]),
        ],
    ),
    "query-for-null-fields": Group(
        [
            {"a": None},
            {},
            {"a": 1},
            {"a": [None]},
            {"a": []},
            {"a": {"b": None}},
            {"a": {"b": 1}},
            {"a": [{"b": 1}, {}]},
        ],
        [
            ({"a": None}, [0, 1, 3]),
            ({"a": {"$ne": None}}, [2, 4, 5, 6, 7]),
            ({"a": {"$exists": False}}, [1]),
            ({"a": {"$exists": True}}, [0, 2, 3, 4, 5, 6, 7]),
            ({"a": {"$type": "null"}}, [0, 3]),
            ({"a": {"$gte": None}}, [0, 1, 3]),
            ({"a": {"$lte": None}}, [0, 1, 3]),
            ({"a": {"$gt": None}}, []),
            ({"a": {"$lt": None}}, []),
            ({"a.b": None}, [0, 1, 2, 5, 7]),
            ({"a.b": {"$ne": None}}, [3, 4, 6]),
            ({"a.b": {"$exists": False}}, [0, 1, 2, 3, 4]),
            ({"a.b": {"$exists": True}}, [5, 6, 7]),
            ({"a": {"$in": [None, 1]}}, [0, 1, 2, 3]),
        ],
    ),
    "type-bracketing": Group(
        _TYPES,
        [
            ({"x": 1}, [4, 5, 12]),
            ({"x": 1.0}, [4, 5, 12]),
            ({"x": True}, [1]),
            ({"x": False}, [2]),
            ({"x": 0}, [3]),
            ({"x": ""}, [9]),
            ({"x": "1"}, [10]),
            ({"x": {"$gt": 0}}, [4, 5, 6, 7, 8, 12]),
            ({"x": {"$lt": 1.25}}, [3, 4, 5, 12]),
            ({"x": {"$gte": ""}}, [9, 10]),
            ({"x": {"$gt": False}}, [1]),
            ({"x": {"$lte": True}}, [1, 2]),
            ({"x": {"$gte": []}}, [11, 12, 15]),
            ({"x": {"$gt": []}}, [12, 15]),
            ({"x": {"$gt": {}}}, [14]),
            ({"x": {"$lte": {"y": 1}}}, [13, 14]),
            ({"x": {"$in": [True, 2**70, ""]}}, [1, 8, 9]),
            ({"x": []}, [11]),
            ({"x": [1]}, [12]),
            ({"x": {}}, [13]),
            ({"x.y": 1}, [14]),
            ({"x": 2**70}, [8]),
            ({"x": {"$gte": 2**70}}, [8]),
        ],
    ),
    "type": Group(
        _TYPES,
        [
            ({"x": {"$type": "number"}}, [3, 4, 5, 6, 7, 8, 12]),
            ({"x": {"$type": "int"}}, [3, 4, 12]),
            ({"x": {"$type": "long"}}, [7, 8]),
            ({"x": {"$type": "double"}}, [5, 6]),
            ({"x": {"$type": 1}}, [5, 6]),
            ({"x": {"$type": "string"}}, [9, 10]),
            ({"x": {"$type": "bool"}}, [1, 2]),
            ({"x": {"$type": "object"}}, [13, 14]),
            ({"x": {"$type": "array"}}, [11, 12, 15]),
            ({"x": {"$type": "null"}}, [0, 15]),
            ({"x": {"$type": ["bool", "string"]}}, [1, 2, 9, 10]),
            ({"x": {"$not": {"$type": "number"}}}, [0, 1, 2, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21]),
        ],
    ),
    "exists": Group(
        [{"a": 5, "b": 5}, {"a": 3, "b": None}, {"a": None}, {"b": 2}, {"a": [{"c": 1}, 2]}, 7],
        [
            ({"a": {"$exists": True}}, [0, 1, 2, 4]),
            ({"b": {"$exists": False}}, [2, 4, 5]),
            ({"a": {"$exists": True, "$nin": [5, 3]}}, [2, 4]),
            ({"a.c": {"$exists": True}}, [4]),
            ({"a.0": {"$exists": True}}, [4]),
            ({"a.2": {"$exists": True}}, []),
            ({"a": {"$exists": 0}}, [3, 5]),
        ],
    ),
    "all": Group(
        [
            {"tags": ["school", "book", "bag"]},
            {"tags": ["appliance", "school", "book"]},
            {"tags": "school"},
            {"tags": [["ssl", "security"], "x"]},
            {"tags": ["ssl", "security"]},
            {"qty": [{"size": "S", "num": 10}, {"size": "M", "num": 100}]},
            {"qty": [{"size": "S", "num": 100}, {"size": "M", "num": 60}]},
        ],
        [
            ({"tags": {"$all": ["school", "book"]}}, [0, 1]),
            ({"tags": {"$all": ["school"]}}, [0, 1, 2]),
            ({"tags": {"$all": [["ssl", "security"]]}}, [3, 4]),
            ({"tags": {"$all": []}}, []),
            (
                {
                    "qty": {
                        "$all": [
                            {"$elemMatch": {"size": "M", "num": {"$gt": 50}}},
                            {"$elemMatch": {"num": 100, "size": "S"}},
                        ]
                    }
                },
                [6],
            ),
            ({"qty.num": {"$all": [100]}}, [5, 6]),
        ],
    ),
    "elemMatch": Group(
        _SURVEY,
        [
            ({"results": {"$elemMatch": {"$gte": 80, "$lt": 85}}}, [0]),
            ({"results": {"$gte": 89, "$lt": 80}}, [1]),
            ({"results": {"$elemMatch": {"product": "xyz", "score": {"$gte": 7}}}}, [3]),
            ({"results": {"$elemMatch": {"product": "xyz"}}}, [2, 3]),
            ({"results": {"$elemMatch": {"product": {"$ne": "xyz"}}}}, [2, 3, 4]),
            ({"results.product": "xyz"}, [2, 3, 5]),
            ({"results.product": {"$ne": "xyz"}}, [0, 1, 4, 6]),
            ({"results": {"$elemMatch": {"$or": [{"score": 10}, {"product": "def"}]}}}, [2, 4]),
            ({"results": {"$elemMatch": {"$in": [75, 82]}}}, [0, 1]),
            ({"results": {"$elemMatch": {"$nin": [82, 85, 88]}}}, [1, 2, 3, 4]),
            ({"results": {"$elemMatch": {"$not": {"$gt": 80}}}}, [1, 2, 3, 4]),
            ({"results": {"$not": {"$elemMatch": {"$gte": 80}}}}, [2, 3, 4, 5, 6]),
            ({"results.score": {"$gt": 8}}, [2]),
        ],
    ),
    "size": Group(
        [
            {"a": []},
            {"a": [1]},
            {"a": [1, 2]},
            {"a": [[1, 2]]},
            {"a": "xy"},
            {"a": {"b": [1, 2]}},
            {"a": [{"b": [1, 2]}]},
        ],
        [
            ({"a": {"$size": 0}}, [0]),
            ({"a": {"$size": 1}}, [1, 3, 6]),
            ({"a": {"$size": 2}}, [2]),
            ({"a.b": {"$size": 2}}, [5, 6]),
            ({"a.0": {"$size": 2}}, [3]),
            ({"a": {"$not": {"$size": 1}}}, [0, 2, 4, 5]),
        ],
    ),
    "mod": Group(
        [{"q": 0}, {"q": 5}, {"q": 12}, {"q": -5}, {"q": 4.5}, {"q": "4"}, {"q": [3, 8]}, {"q": True}, {"q": 2**70}],
        [
            ({"q": {"$mod": [4, 0]}}, [0, 2, 4, 6, 8]),
            ({"q": {"$mod": [4, 1]}}, [1]),
            ({"q": {"$mod": [4, -1]}}, [3]),
            ({"q": {"$mod": [4.9, 0.9]}}, [0, 2, 4, 6, 8]),
            ({"q": {"$mod": [-4, 1]}}, [1]),
        ],
    ),
    "regex": Group(
        _PRODUCTS,
        [
            ({"sku": {"$regex": "789$"}}, [1, 3, 4]),
            ({"sku": {"$regex": "^ABC", "$options": "i"}}, [0, 1, 4, 5]),
            ({"description": {"$regex": "^S", "$options": "m"}}, [0, 1, 4]),
            ({"description": {"$regex": "^S"}}, [0, 4]),
            ({"description": {"$regex": "m.*line", "$options": "si"}}, [2, 3]),
            ({"description": {"$regex": "m.*line", "$options": "i"}}, [2]),
            ({"sku": {"$regex": "abc #begins with\n123", "$options": "x"}}, [0]),
            ({"description": {"$regex": "7"}}, []),
            ({"sku": {"$in": ["abc123"], "$regex": "^a"}}, [0]),
            ({"sku": {"$regex": "(?i)^ABC"}}, [0, 1, 4, 5]),
        ],
    ),
    "regex-characters": Group(
        [{"t": text} for text in _CHARACTERS],
        [
            # classes are those of ASCII
            ({"t": {"$regex": r"\d"}}, [7]),
            ({"t": {"$regex": r"\D"}}, [*range(7), *range(8, 23)]),
            ({"t": {"$regex": r"\w"}}, [0, 1, 2, 4, 7, 9, 15, 16, 17, 18, 19, 20, 21]),
            ({"t": {"$regex": r"^\w", "$options": "i"}}, [0, 1, 2, 4, 7, 9, 15, 16, 17, 18, 20, 21]),
            ({"t": {"$regex": r"^\W"}}, [3, 5, 6, 8, 10, 11, 12, 13, 14, 19, 22]),
            ({"t": {"$regex": "[[:alpha:]]"}}, [0, 1, 2, 4, 15, 16, 17, 18, 19, 20, 21]),
            ({"t": {"$regex": "[[:alpha:]]", "$options": "i"}}, [0, 1, 2, 4, 15, 16, 17, 18, 19, 20, 21]),
            ({"t": {"$regex": "[[:upper:]]"}}, [1, 20]),
            ({"t": {"$regex": r"\s"}}, [13, 14, 16, 17, 18, 19]),
            ({"t": {"$regex": r"\bk"}}, [0]),
            # letters in any case are those of Unicode
            ({"t": {"$regex": "^k$", "$options": "i"}}, [0, 1, 3]),
            ({"t": {"$regex": "^S", "$options": "i"}}, [4, 5, 21]),
            ({"t": {"$regex": "^[J-L]$", "$options": "i"}}, [0, 1, 3]),
            ({"t": {"$regex": "^É$", "$options": "i"}}, [6, 10]),
            ({"t": {"$regex": "^É$"}}, [10]),
            ({"t": {"$regex": "^Σ$", "$options": "i"}}, [11, 12]),
            # the end, and lines
            ({"t": {"$regex": "a$"}}, [2, 17]),
            ({"t": {"$regex": r"a\z"}}, [2]),
            ({"t": {"$regex": r"a\Z"}}, [2, 17]),
            ({"t": {"$regex": "a$", "$options": "m"}}, [2, 16, 17, 19]),
            ({"t": {"$regex": "^b", "$options": "m"}}, [16, 19]),
            ({"t": {"$regex": "^$", "$options": "m"}}, [14, 19, 23]),
            ({"t": {"$regex": "a.b"}}, [15, 18]),
            ({"t": {"$regex": "a.b", "$options": "s"}}, [15, 16, 18]),
            # whatever the text is made of
            ({"t": {"$regex": "\0"}}, [15]),
            ({"t": {"$regex": r"\x00b$"}}, [15]),
            ({"t": {"$regex": "^.$"}}, [*range(14), 17]),
            ({"t": {"$regex": "🔑"}}, [22]),
            ({"t": {"$regex": r"^\x{1F511}{2}$"}}, [22]),
            ({"t": {"$not": {"$regex": r"^.?$"}}}, [15, 16, 18, 19, 20, 21, 22]),
            ({"t": {"$regex": "a b # all of it\n$", "$options": "x"}}, []),
            ({"t": {"$regex": r" a [ ] b ", "$options": "x"}}, [18]),
            ({"t": {"$regex": r"^ab\Q\E*$"}}, [2, 17]),
            ({"t": {"$regex": r"^K\E?L"}}, [20]),
        ],
    ),
    "query-array-of-documents": Group(
        [
            {"instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "C", "qty": 15}]},
            {"instock": [{"warehouse": "C", "qty": 5}]},
            {"instock": [{"warehouse": "A", "qty": 60}, {"warehouse": "B", "qty": 15}]},
            {"instock": [{"warehouse": "B", "qty": [15, 35]}]},
        ],
        [
            ({"instock": {"warehouse": "A", "qty": 5}}, [0]),
            ({"instock.qty": {"$lte": 20}}, [0, 1, 2, 3]),
            ({"instock.0.qty": {"$lte": 20}}, [0, 1, 3]),
            ({"instock.1.qty": 15}, [0, 2]),
            ({"instock.qty": {"$gt": 10, "$lte": 20}}, [0, 2, 3]),
            ({"instock": {"$elemMatch": {"qty": {"$gt": 10, "$lte": 20}}}}, [0, 2, 3]),
            ({"instock.qty": 5, "instock.warehouse": "A"}, [0]),
            ({"instock.qty": 35}, [3]),
        ],
    ),
    "numeric-steps": Group(  # jstests/core/match_numeric_components.js of MongoDB's sources
        [{"a": value} for value in _NUMBERED],
        [
            ({"a.0": 42}, [1, 2, 4, 5, 9]),
            ({"a.0": {"$ne": 42}}, [i for i in range(31) if i not in (1, 2, 4, 5, 9)]),
            ({"a.0.0": 42}, [3, 4, 5, 6, 8, 9, 10, 12, 13, 17, 20, 21, 25]),
            ({"a.0": {"$gt": 41}}, [1, 2, 4, 5, 9]),
            ({"a.0": {"$in": [41, 42, 43]}}, [1, 2, 4, 5, 9]),
            ({"a.0": {"$all": [42]}}, [1, 2, 4, 5, 9]),
            ({"a.0": {"$all": [{"$elemMatch": {"0": 42}}]}}, [7, 8, 11, 12, 15, 17, 19, 20, 23, 25]),
            ({"a.0": {"$type": "number"}}, [1, 2, 4, 5, 9]),
            ({"a.0": {"$mod": [42, 0]}}, [1, 2, 4, 5, 9]),
            ({"a.00": 42}, []),
        ],
    ),
    "odd-names": Group(
        _NAMES,
        [
            ({"a b": 1}, [0]),
            ({"é": 1}, [1]),
            ({'q"u': 1}, [2]),
            ({"b\\s": 1}, [3]),
            ({"a.b": 1}, [6]),
            ({"*": 1}, [8]),
            ({"`": 1}, [9]),
            ({"a[0]": 1}, [10]),
            ({"[0]": 1}, [11]),
            ({"_id": 1}, [12]),
            ({"value": 1}, [13]),
            ({"A": 1}, [14]),
            ({"'": 1}, [15]),
            ({"a.$x": 1}, [16]),
            ({"\0": 1}, [17]),
            ({"?": 1}, [18]),
            ({":x": 1}, [19]),
        ],
    ),
    "odd-values": Group(
        _VALUES,
        [
            ({"v": 2**53}, [0, 2]),
            ({"v": 2**53 + 1}, [1]),
            ({"v": float(2**53)}, [0, 2]),
            ({"v": 2**63}, [3]),
            ({"v": {"$gt": 2**63}}, [4, 7]),
            ({"v": {"$gt": float(2**53), "$lt": 2**60}}, [1]),
            ({"v": 0}, [5, 6]),
            ({"v": -0.0}, [5, 6]),
            ({"v": "a"}, [8]),
            ({"v": "é"}, [10]),
            ({"v": "a\0b"}, [12]),
            ({"v": {"$gt": "\uff00"}}, [13, 14]),
            ({"v": {"$gt": "\uffee"}}, [13]),
            ({"v": {"$lt": "a"}}, [9, 19]),
            ({"v": "x" * 2_000}, [15]),
            ({"v": {"$gt": "x" * 2_000, "$lt": "z"}}, [16]),
            ({"v": "a "}, [17]),
            ({"v": {"$gt": "a", "$lt": "b"}}, [12, 17]),
            ({"v": 0.1}, [20]),
            ({"v": {"$in": ["10", 10]}}, [18, 19]),
            ({"v": 1e308}, [7]),
        ],
    ),
}
