"""Names and values that broke a store somewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from datastore.ids import namespace_order

ODD_NAMES = [
    "plain",
    # What joins and encodes ids, or looks like it
    ":", "a:b", "a::b", "::", "a;b", "/", "a/b", "//", "files:owner/repo", "%", "%3A", "a%3Ab", "%253A", "%2", "+", "=",
    "a+b", "a b", "a=", "YWJj", "-", "~",
    # Wildcards and quotes of query languages
    "_", "_all_docs", "_design/x", "a_b", "a%b", "*", "a*b", "?", "[", "[a-z]", "(", "{", "}", "^", "$", "$where", "\\",
    "\\%", '"', "'", "'; DROP TABLE agent_data_store; --", "`", "|", "&", "#", "<script>", "@", "!", ",",
    # Reserved names
    ".", "..", "...", "__x__", "__proto__", "constructor", "null", "None", "true", "0", "-1", "1.0", "NaN", "id", "_id",
    "_rev", "default",
    # White space and control characters
    " ", "  ", " a", "a ", "\t", "\n", "\r\n", "\0", "a\0b", "\x01", "\x1f", "\x7f", "\x80", "\x9f", "\u00a0", "\u2028",
    "\u200b", "\ufeff",
    # Case pairs, and texts that are equal only once normalised or folded
    "Key", "key", "KEY", "straße", "strasse", "İ", "i̇", "é", "e\u0301", "\u212b", "\u00c5", "ﬁ", "fi",
    # Other scripts, right-to-left text, and code points whose order differs in UTF-16
    "ключ", "鍵", "مفتاح", "\u202eabc", "\u0301", "🔑", "👩‍👩‍👧", "\uffee", "\ue000", "\U0010ffff", "\ud7ff",
]  # fmt: skip
"""Each is a valid user id, agent, namespace and key, and no two are equal."""

NO_TEXT = [None, 1, 1.5, True, b"key", ["key"], ("a", "b"), {"key": 1}]
"""Invalid names, because they are not text."""

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "1": 1,
    "-1": -1,
    "2**31": 2**31,
    "2**53+1": 2**53 + 1,
    "2**63-1": 2**63 - 1,
    "-2**63": -(2**63),
    "2**63": 2**63,
    "2**64": 2**64,
    "2**70": 2**70,
    "-2**70": -(2**70),
    "39-digits": 10**38 + 1,
    "400-digits": 10**399 + 7,
    "4300-digits": 10**4299 + 7,
    "0.0": 0.0,
    "-0.0": -0.0,
    "1.0": 1.0,
    "0.1": 0.1,
    "1e16": 1e16,
    "1e22": 1e22,
    "2.0**63": 2.0**63,
    "17-digits": 0.12345678901234568,
    "smallest-float": 5e-324,
    "smallest-normal-float": 2.2250738585072014e-308,
    "largest-float": 1.7976931348623157e308,
    "1e-130": 1e-130,
    "1e126": 1e126,
    "empty-text": "",
    "nul": "\0",
    "nul-inside": "a\0b",
    "control-characters": "".join(map(chr, range(32))),
    "quotes": "\"'\\/",
    "line-separators": "\u2028\u2029\r\n",
    "emoji": "👩‍👩‍👧🔑",
    "combining": "e\u0301 is not \u00e9",
    "right-to-left": "\u202eمفتاح",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "number-as-text": "1",
    "time-as-text": "2026-01-31T12:00:00.000000Z",
    "json-as-text": '{"a": 1}',
    "base64-as-text": "YWJj",
    "empty-object": {},
    "empty-array": [],
    "empty-inside": {"object": {}, "array": [], "text": "", "null": None},
    "nested-empty": [[], [[]], {}, [{}], [[], {}]],
    "array-in-array": [[1, 2], [3, [4, [5]]]],
    "array-of-objects": [{"a": [1]}, {"a": [{"b": [None]}]}],
    "mixed-array": [None, True, 1, 1.0, "1", [1], {"1": 1}],
    "one-three-times": [1, 1.0, True],
    "zero-four-times": [0, 0.0, -0.0, False],
    "nulls": [None, None],
    "object-of-null": {"a": None},
    "odd-keys": {
        "": 1, " ": 2, "$x": 3, "$set": 4, "a.b": 5, ".": 6, "..": 7, "__proto__": 8, "__x__": 9, "_id": 10, "_rev": 11,
        "\0": 12, "a\0b": 13, "🔑": 14, "e\u0301": 15, "\u00e9": 16, "a/b": 17, "a:b": 18, "[0]": 19, "*": 20, "`": 21,
        '"': 22, "\\": 23, "key": 24, "Key": 25, "constructor": 26, "length": 27, "S": 28, "N": 29, "NULL": 30,
        "0": 31, "00": 32, "-1": 33, "\n": 34,
    },
    "odd-keys-deep": {"": {"": {"$x": {"a.b": {"__proto__": {"\0": []}}}}}},
    "long-key": {"k" * 2_000: 1},
    "document-lookalike": {"_id": "a:b:c", "value": 1, "metadata": {}, "revision": "1", "expiresAt": "1970"},
    "typed-lookalike": {"S": "x"},
    "timestamp-lookalike": {"$date": 0, "seconds": 1, "nanos": 2},
    "many-fields": {f"field {i}": i for i in range(2_000)},
    "many-items": list(range(5_000)),
}  # fmt: skip
"""Each one is read back equal to what was written, type for type. The keys name the tests."""

METADATA: dict[str, Any] = {
    "source": "web",
    "score": 1.0,
    "count": 1,
    "big": 2**70,
    "flag": True,
    "tags": ["a", ["b"], {"c": None}],
    "empty": {},
    "inner": {"null": None, "": "", "a.b": "$x"},
    "": "empty name",
    "a.b": "dotted",
    "$x": "dollar",
    "🔑": "emoji",
    "__proto__": "prototype",
}
"""Metadata that are read back as they were written. At the top ``None`` would remove a field; deeper, it is a value."""


def nested(depth: int) -> Any:
    """Return an array in an array in an array, and so on."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def of_size(size: int) -> str:
    """Return text whose JSON takes the given number of bytes."""
    return "x" * (size - 2)


def same(a: Any, b: Any) -> bool:
    """Return whether two values are equal type for type: 1 is not 1.0 is not True, and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


def in_order(namespaces: Iterable[str], *, reverse: bool = False) -> list[str]:
    """Return namespaces as ids have them: encoded, and with a colon after each."""
    return sorted(namespaces, key=namespace_order, reverse=reverse)
