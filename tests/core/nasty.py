"""Arguments that nobody should give, each with a name: of a wrong type, out of range, lying or raising."""

import base64
import enum
import re
from collections import OrderedDict, UserDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zlib import crc32


class CallersError(Exception):
    """What the caller's own iterable, mapping or function raises: it passes."""


class RudeError(Exception):
    """What an argument raises when it is looked at, which the store does not do: it never passes."""


def rude(*args, **kwargs):
    raise RudeError


def _raises(*args, **kwargs):
    raise CallersError


class RudeText(str):
    encode = __eq__ = __hash__ = __repr__ = __str__ = __format__ = __add__ = __len__ = __getitem__ = __lt__ = rude
    startswith = translate = split = strip = __iter__ = __contains__ = __conform__ = lower = rude


class Converts(str):
    """SQLite asks it what it is."""

    def __conform__(self, protocol):
        return b"other bytes"

    def encode(self, *args):
        return b"other"

    def __str__(self):
        return "other"

    __repr__ = __format__ = lambda self, *args: "other"


class RudeInt(int):
    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __hash__ = __repr__ = __add__ = __mul__ = __index__ = __int__ = rude
    __bool__ = __float__ = __str__ = __format__ = __sub__ = __radd__ = rude


class RudeFloat(float):
    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __hash__ = __repr__ = __add__ = __mul__ = __int__ = __float__ = rude
    __bool__ = __str__ = __format__ = __radd__ = rude


class RudeTime(datetime):
    timestamp = __repr__ = __eq__ = __hash__ = astimezone = __str__ = tzinfo = utcoffset = rude


class RudeSpan(timedelta):
    total_seconds = __repr__ = __eq__ = __hash__ = __lt__ = __gt__ = __str__ = rude


class RudeDict(dict):
    __repr__ = __eq__ = __hash__ = rude
    __iter__ = keys = items = values = __len__ = __getitem__ = __contains__ = get = copy = __bool__ = _raises


class RudeList(list):
    __repr__ = __eq__ = __hash__ = rude
    __iter__ = __len__ = __getitem__ = __contains__ = __bool__ = _raises


class LyingDict(dict):
    """Shows other items than it has."""

    def items(self):
        return [("a", 1)]

    def values(self):
        return [1]

    def __iter__(self):
        return iter(["a"])

    keys = __iter__


class LyingList(list):
    def __iter__(self):
        return iter([1])

    def __len__(self):
        return 1


class RaisingMapping(Mapping):
    __getitem__ = __iter__ = __len__ = items = keys = values = get = _raises


class LyingMapping(Mapping):
    __getitem__ = _raises

    def __iter__(self):
        return iter(["a", 2, None])

    def __len__(self):
        return -1


class Liar:
    """Says that it is of another class."""

    def __init__(self, kind):
        self.kind = kind

    @property
    def __class__(self):
        return object.__getattribute__(self, "kind")


class Secretive:
    """Does not say what it is."""

    @property
    def __class__(self):
        raise RudeError

    __repr__ = __str__ = __eq__ = __hash__ = __len__ = __bool__ = __index__ = __float__ = __int__ = __lt__ = rude
    __conform__ = __format__ = __contains__ = rude
    __iter__ = __getitem__ = _raises


class Iterates:
    """Is iterable by its class, and then is not."""

    def __iter__(self):
        return 5


class _Nameless(type):
    @property
    def __name__(cls):
        raise RudeError


class Nameless(metaclass=_Nameless):
    pass


class Word(enum.StrEnum):
    A = "a"


class Number(enum.IntEnum):
    ONE = 1


def _generator():
    yield "a"
    raise CallersError


def _deep(make, leaf, levels):
    value = leaf
    for _ in range(levels):
        value = make(value)
    return value


def _within_itself():
    value = []
    value.append(value)
    return value


def _object_within_itself():
    value = {}
    value["a"] = value
    return value


def _forged(state, listing="00000000"):
    return f"{base64.urlsafe_b64encode(state).decode()}.{listing}"


NASTY = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "-1": lambda: -1,
    "1": lambda: 1,
    "2**31": lambda: 2**31,
    "2**63 - 1": lambda: 2**63 - 1,
    "2**63": lambda: 2**63,
    "-2**64": lambda: -(2**64),
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "10**5000": lambda: 10**5000,
    "0.5": lambda: 0.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "complex": lambda: 1j,
    "decimal": lambda: Decimal("sNaN"),
    "fraction": lambda: Fraction(1, 3),
    "empty text": lambda: "",
    "text": lambda: "x",
    "NUL": lambda: "\0",
    "high surrogate": lambda: "\ud83d",
    "low surrogate": lambda: "text \udc00",
    "long text": lambda: "é" * 600,
    "very long text": lambda: "x" * 1_500_000,
    "dots": lambda: "a..b",
    "operator": lambda: "$where",
    "path": lambda: ".",
    "bytes": lambda: b"x",
    "bytearray": lambda: bytearray(b"x"),
    "memoryview": lambda: memoryview(b"x"),
    "datetime.max": lambda: datetime.max,
    "datetime.min": lambda: datetime.min,
    "aware datetime.max": lambda: datetime.max.replace(tzinfo=UTC),
    "aware datetime.min": lambda: datetime.min.replace(tzinfo=UTC),
    "timedelta.max": lambda: timedelta.max,
    "timedelta.min": lambda: timedelta.min,
    "list": list,
    "list of None": lambda: [None],
    "list of lists": lambda: [[]],
    "list of texts of two": lambda: ["ab"],
    "pairs with lists": lambda: [([], 1)],
    "list of surrogates": lambda: ["\ud800"],
    "list of objects": lambda: [object()],
    "list of rude texts": lambda: [RudeText("a")],
    "pairs of rude texts": lambda: [(RudeText("a"), 1)],
    "pairs of rude numbers": lambda: [("a", RudeInt(1))],
    "pairs of nan": lambda: [("a", float("nan"))],
    "list within itself": _within_itself,
    "deep list": lambda: _deep(lambda inner: [inner], 1, 12_000),
    "deep tuple": lambda: _deep(lambda inner: (inner,), 1, 5_000),
    "dict": dict,
    "dict of int": lambda: {1: 1},
    "dict of a long key": lambda: {"x" * 50_000: {"$gt2": 1}},
    "dict of None": lambda: {None: None},
    "dict of a tuple": lambda: {("a",): 1},
    "dict of an empty key": lambda: {"": 1},
    "dict of surrogates": lambda: {"\ud800": "\udfff"},
    "dict of a surrogate": lambda: {"a": "\udfff"},
    "dict of an object": lambda: {"a": object()},
    "dict of nan": lambda: {"a": float("nan")},
    "dict of 10**400": lambda: {"a": 10**400},
    "dict of rude text": lambda: {"a": RudeText("a")},
    "dict of rude number": lambda: {"a": RudeInt(1)},
    "dict of secretive": lambda: {"a": Secretive()},
    "dict of liar": lambda: {"a": Liar(dict)},
    "dict of lying dict": lambda: {"a": LyingDict(b=float("nan"))},
    "dict of lying list": lambda: {"a": LyingList([float("nan")])},
    "dict of datetime.max": lambda: {"createdAt": datetime.max},
    "dict of aware datetime.max": lambda: {"createdAt": {"$lt": datetime.max.replace(tzinfo=UTC)}},
    "dict of aware datetime.min": lambda: {"createdAt": datetime.min.replace(tzinfo=UTC)},
    "dict of rude time": lambda: {"createdAt": RudeTime(2026, 1, 1, tzinfo=UTC)},
    "dict of pattern": lambda: {"a": re.compile("x")},
    "dict of a pattern for the key": lambda: {"key": re.compile("x")},
    "dict of operators": lambda: {"$where": "1"},
    "dict of an operator": lambda: {"a": {"$gt": object()}},
    "dict of $set": lambda: {"$set": {"a": Secretive()}},
    "dict of $inc": lambda: {"$inc": {"a": float("inf")}},
    "dict of $push": lambda: {"$push": {"a": {"$each": [1], "$position": 10**400, "$slice": 1e308}}},
    "dict of $slice": lambda: {"$push": {"a": {"$each": [1], "$position": 1e308, "$slice": -(2**70)}}},
    "dict of $size": lambda: {"a": {"$size": 2**63}},
    "dict of $mod": lambda: {"a": {"$mod": [1e308, 2**70]}},
    "dict of $regex": lambda: {"a": {"$regex": "\ud800"}},
    "dict within itself": _object_within_itself,
    "deep dict": lambda: _deep(lambda inner: {"a": inner}, 1, 5_000),
    "deep $and": lambda: _deep(lambda inner: {"$and": [inner]}, {"a": 1}, 5_000),
    "deep $not": lambda: {"a": _deep(lambda inner: {"$not": inner}, {"$gt": 1}, 190)},
    "deep $nor": lambda: _deep(lambda inner: {"$nor": [inner]}, {"a": 1}, 95),
    "ordered dict": lambda: OrderedDict(a=1),
    "user's dict": lambda: UserDict(a=1),
    "set": lambda: {1},
    "frozenset": lambda: frozenset(["a"]),
    "range": lambda: range(3),
    "object": object,
    "class": lambda: ValueError,
    "function": lambda: lambda *args, **kwargs: None,
    "raising function": lambda: _raises,
    "generator that raises": _generator,
    "iterator": lambda: iter([1]),
    "iterable that is none": Iterates,
    "pattern": lambda: re.compile("x"),
    "rude text": lambda: RudeText("k"),
    "text that converts": lambda: Converts("k"),
    "rude int": lambda: RudeInt(3),
    "rude float": lambda: RudeFloat(3),
    "rude time": lambda: RudeTime(2026, 1, 1, tzinfo=UTC),
    "rude span": lambda: RudeSpan(seconds=5),
    "rude dict": lambda: RudeDict(a=1),
    "rude list": lambda: RudeList(["a"]),
    "lying dict": lambda: LyingDict(b=float("nan")),
    "lying list": lambda: LyingList([float("nan"), object()]),
    "raising mapping": RaisingMapping,
    "lying mapping": LyingMapping,
    "secretive": Secretive,
    "nameless": Nameless,
    "class without a name": lambda: type("", (), {})(),
    "enum of text": lambda: Word.A,
    "enum of int": lambda: Number.ONE,
    "liar: str": lambda: Liar(str),
    "liar: int": lambda: Liar(int),
    "liar: float": lambda: Liar(float),
    "liar: dict": lambda: Liar(dict),
    "liar: list": lambda: Liar(list),
    "liar: tuple": lambda: Liar(tuple),
    "liar: datetime": lambda: Liar(datetime),
    "liar: timedelta": lambda: Liar(timedelta),
    "cursor of nothing": lambda: ".00000000",
    "cursor of garbage": lambda: "!!!!.zzzz",
    "cursor that is not ASCII": lambda: "é.é",
    "cursor of numbers": lambda: _forged(b"[1,2]"),
    "cursor of null": lambda: _forged(b"null"),
    "cursor of text": lambda: _forged(b'["a","b"]'),
    "cursor of depth": lambda: _forged(b"[" * 20_000),
    "cursor of bytes": lambda: _forged(b"\xff\xfe"),
    "cursor of another listing": lambda: f"aw==.{crc32(b'u:default:'):08x}",
    "cursor of size": lambda: _forged(b"[" + b"1," * 50_000 + b"1]"),
}
"""Each makes a new one: an iterator can be used only once."""
