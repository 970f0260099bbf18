"""What can be stored: checking, encoding and decoding of JSON values.

A value is anything JSON: an object with text keys, an array (tuples are taken as arrays), text, an integer of up to
4,300 digits, a finite float, a boolean or null. Everything else is refused before any I/O, with an error that names the
path. What is decoded equals what was encoded, type for type.

Encoding is in the hot path of every write and decoding in that of every read, so both use orjson; checking is one pass
that looks at types, and at floats. orjson is not exact for integers beyond 64 bits, so ``json`` of the standard library
encodes them. Their text begins with a space, which has no meaning in JSON, and tells `decode` which of the two parsers
to use.

The time that Python takes to convert an integer grows with the square of its digits, and no other thread runs
meanwhile: a million digits take minutes. So the number of digits is limited to what the interpreter converts by default
(``sys.int_info.default_max_str_digits``), and the length of a text is checked before it is converted. The limit is a
constant: a host that has changed the interpreter's own limit reads and writes the same values as any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from datastore.arguments import is_a, lone_surrogate, shown
from datastore.errors import InvalidValueError, ValueTooLargeError, kind_of
from datastore.late import Late

if TYPE_CHECKING:
    import json
else:
    json = Late("json")  # what follows needs it seldom, and orjson imports it

MAX_VALUE_BYTES = 1_000_000
"""The largest value: bytes of UTF-8 of its compact JSON."""
MAX_METADATA_BYTES = 16_000
"""The largest metadata of a record, counted the same way."""
MAX_DEPTH = 200
"""The deepest nesting: ``[[1]]`` is nested 2 deep."""
MAX_DIGITS = 4_300
"""The most decimal digits of an integer."""


class UnreadableError(ValueError):
    """What is stored is not a value; the message says what it holds, and quotes nothing of it."""


_SCALARS = frozenset({str, int, float, bool, type(None)})
_FLOATS = frozenset({float})
_NO_FLOATS = _SCALARS - _FLOATS
_TEXT = frozenset({str})
_ARRAYS = frozenset({list, tuple})
_IRREGULAR = -1
_LONGEST_PATH = 200  # characters of a path in a message
_EXACTLY = " "
"""The beginning of a text that orjson would not decode exactly: integers beyond 64 bits would become floats."""
_EXACTLY_TO = "!"
"""All texts with that beginning are less than this, and no other JSON text is."""
_TOO_LONG = 10**MAX_DIGITS
_CHUNK = 600  # digits: below every limit that the interpreter can have (sys.int_info.str_digits_check_threshold)


def prepare() -> None:
    """Import what encodes and decodes, which takes longer than importing the rest of the core.

    A store calls this when it is opened: a program that opens none does not wait for it, and it is neither part of a
    call, which has a deadline and may be on the thread of an event loop, nor of each process that is forked later.
    Whoever encodes without a store does it with the first value.
    """
    global _dumps, _loads, _to_json  # so that no later call looks for a module, or whether it is there
    from json import JSONEncoder

    from orjson import dumps, loads

    _to_json = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode
    _dumps, _loads = dumps, loads


def _first_dumps(value: Any) -> bytes:
    prepare()
    return _dumps(value)


def _first_loads(text: str) -> Any:
    prepare()
    return _loads(text)


def _first_to_json(value: Any) -> str:
    prepare()
    return _to_json(value)


_dumps: Callable[[Any], bytes] = _first_dumps
"""``orjson.dumps``, since `prepare`; the next two are its ``loads`` and the exact encoder of the standard library."""
_loads: Callable[[str], Any] = _first_loads
_to_json: Callable[[Any], str] = _first_to_json


def encode(value: Any, name: str = "value", limit: int = MAX_VALUE_BYTES) -> str:
    """Check a value and return its compact JSON text.

    Args:
        value: The value to store.
        name: Its name in errors: the beginning of the path.
        limit: The largest size in bytes of UTF-8.

    Raises:
        InvalidValueError: If something in it is not JSON; the message names the path.
        ValueTooLargeError: If its JSON takes more than ``limit`` bytes.
    """
    return checked(value, name, limit)[1]


def checked(value: Any, name: str = "value", limit: int = MAX_VALUE_BYTES) -> tuple[Any, str]:
    """Check a value as `encode` does, and return it with its text.

    The returned value consists only of objects of the built-in classes: it is the value itself, or a copy if it holds
    an object of a subclass.
    """
    kind = type(value)
    if kind not in _NO_FLOATS and not (kind is float and isfinite(value)):
        try:
            nodes = _count_nodes(value, 1)
            if nodes == _IRREGULAR:
                value = _rebuild(value, name, limit)
                nodes = _count_nodes(value, 1)
        except RecursionError:
            raise  # the stack was nearly full before
        except RuntimeError:  # a container changed its size while it was iterated over
            raise InvalidValueError(f"{name} was changed by another thread while it was read; give a copy") from None
        if nodes > limit:  # each node takes at least a byte: stop before a graph of shared lists is written as a tree
            raise _too_large(name, f"more than {nodes:,}", limit)
    try:
        utf8 = _dumps(value)
    except TypeError:
        return value, _encode_exactly(value, name, limit)
    if len(utf8) > limit:
        raise _too_large(name, f"{len(utf8):,}", limit)
    return value, utf8.decode()


def encode_parsed(value: Any, name: str = "value", limit: int = MAX_VALUE_BYTES) -> str:
    """Do what `encode` does with a value that `decode` returned, in a third of the time.

    A parser of JSON makes nothing but objects of the built-in classes, with text as keys and finite numbers. So only
    the size and the depth are left to check.
    """
    try:
        utf8 = _dumps(value)
    except TypeError:
        return encode(value, name, limit)
    # Brackets in texts count as well: then the closer look decides.
    if len(utf8) > limit or utf8.count(b"[") + utf8.count(b"{") > MAX_DEPTH:
        return encode(value, name, limit)
    return utf8.decode()


def size_of(value: Any) -> int:
    """Return how many bytes of UTF-8 the compact JSON of a stored value takes."""
    try:
        return len(_dumps(value))
    except TypeError:  # an integer beyond 64 bits
        return len(_to_json(value).encode())


def decode(text: str) -> Any:
    """Return the value of JSON text that `encode` wrote; every call returns a new copy.

    Text that `encode` did not write may fail with one of `datastore.documents.UNDECODABLE`.
    """
    # Comparing the whole text, not its first character, raises for anything but text: orjson would accept bytes.
    return _loads(text) if text > _EXACTLY_TO else exact_value(text)


def decode_all(texts: Sequence[str]) -> list[Any]:
    """Return what `decode` returns for each of some texts, in less time than one by one."""
    certain = bool(texts) and min(texts) > _EXACTLY_TO
    return list(map(_loads if certain else decode, texts))


def parse_int(digits: str) -> int:
    """Return the integer for decimal digits, whatever the interpreter's own limit is; for `json.loads`.

    Raises:
        UnreadableError: If there are more than `MAX_DIGITS` digits: they are then not converted.
    """
    if len(digits) <= _CHUNK:
        return int(digits)
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise UnreadableError(f"an integer of more than {MAX_DIGITS:,} digits")
    negative = digits.startswith("-")
    number = 0
    for start in range(negative, len(digits), _CHUNK):
        chunk = digits[start : start + _CHUNK]
        number = number * 10 ** len(chunk) + int(chunk)
    return -number if negative else number


def check_metadata(metadata: Any) -> dict[str, Any] | None:
    """Check metadata, which is ``None`` or an object of JSON values, and return it as `checked` does.

    Raises:
        InvalidValueError: If it is not an object of JSON values.
        ValueTooLargeError: If it takes more than 16,000 bytes.
    """
    if metadata is None:
        return None
    if not is_a(metadata, dict):
        raise InvalidValueError(f"metadata is {kind_of(metadata)}; it must be a dict with text keys, or None")
    plain: dict[str, Any] = checked(metadata, "metadata", MAX_METADATA_BYTES)[0]
    return plain


def merge_metadata(current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with changes merged in shallowly; a key given as ``None`` is removed.

    Raises:
        ValueTooLargeError: If the result takes more than 16,000 bytes.
    """
    merged = {key: value for key, value in {**current, **changes}.items() if value is not None}
    encode(merged, "metadata (as merged with what is stored)", MAX_METADATA_BYTES)
    return merged


def article(value: Any) -> str:
    """Return the type of a stored value with an article, for a message: ``"an array"``."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _count_nodes(container: Any, depth: int) -> int:
    """Return how many values a container holds, or `_IRREGULAR` if one of them must be examined.

    Counting stops soon after `MAX_VALUE_BYTES`.
    """
    if depth > MAX_DEPTH:
        return _IRREGULAR
    children: Iterable[Any]
    if type(container) is dict:
        if not _TEXT.issuperset(map(type, container)):
            return _IRREGULAR
        children = container.values()
    elif type(container) in _ARRAYS:
        children = container
    else:
        return _IRREGULAR
    nodes = len(container) + 1
    kinds = set(map(type, children))
    if kinds <= _NO_FLOATS:
        return nodes
    if kinds == _FLOATS:
        return nodes if all(map(isfinite, children)) else _IRREGULAR
    for child in children:
        kind = type(child)
        if kind in _NO_FLOATS:
            continue
        if kind is float:
            if not isfinite(child):  # orjson would write null
                return _IRREGULAR
        else:
            inner = _count_nodes(child, depth + 1)
            if inner == _IRREGULAR:
                return _IRREGULAR
            nodes += inner
            if nodes > MAX_VALUE_BYTES:
                return nodes
    return nodes


def _rebuild(value: Any, name: str, limit: int) -> Any:
    """Return a value in containers of the built-in classes, or raise an error for the first part that is not JSON."""
    nodes = 0

    def rebuilt(value: Any, path: str, depth: int) -> Any:
        nonlocal nodes
        nodes += 1
        if nodes > limit:  # each node takes at least a byte; see `checked`
            raise _too_large(name, f"more than {limit:,}", limit)
        kind = type(value)
        if not issubclass(kind, (dict, list, tuple)):
            problem = _problem(value)
            if problem is not None:
                raise InvalidValueError(f"{_shortened(path)} {problem}")
            return value
        if depth == MAX_DEPTH:
            raise InvalidValueError(f"{_shortened(path)} is nested deeper than {MAX_DEPTH} levels (or holds itself)")
        if issubclass(kind, dict):
            fields: dict[str, Any] = {}  # not a comprehension: on Python 3.11 it would double the depth of the stack
            for key, child in dict.items(value):
                name_of_field = _checked_key(key, path)
                fields[name_of_field] = rebuilt(child, path + step(name_of_field), depth + 1)
            return fields
        # The real elements of an array, even if a subclass shows others.
        elements = list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value)
        array: list[Any] = []
        for index, child in enumerate(elements):
            array.append(rebuilt(child, f"{path}[{index}]", depth + 1))
        return array

    return rebuilt(value, name, 0)


def _problem(value: Any) -> str | None:
    """Return what is wrong with a value that is not a container."""
    kind = type(value)
    if kind is float:
        return None if isfinite(value) else f"is {value!r}; JSON has no such number"
    if kind is str:
        problem = lone_surrogate(value)
        return None if problem is None else f"holds {problem}"
    if kind is int and not -_TOO_LONG < value < _TOO_LONG:
        return f"is an integer of more than {MAX_DIGITS:,} digits; store it as text"
    if kind in _SCALARS:
        return None
    if kind is re.Pattern:
        return "is a compiled regular expression; a filter takes its text, as {'$regex': ...}"
    instead = _instead(kind)
    base = next((base.__name__ for base in (str, int, float) if issubclass(kind, base)), None)
    if base:  # an enum member or a NumPy number would come back with another type
        return f"is {kind_of(value)}; convert it to {base}, which is what would come back{instead}"
    return f"is {kind_of(value)}; JSON has no such type{instead}"


_INSTEAD = {
    "enum.Enum": "its value",
    "builtins.set": "list() of it",
    "builtins.frozenset": "list() of it",
    "builtins.range": "list() of it",
    "builtins.dict_keys": "list() of it",
    "builtins.dict_values": "list() of it",
    "collections.deque": "list() of it",
    "builtins.bytes": "base64.b64encode() of it, decoded",
    "builtins.bytearray": "base64.b64encode() of it, decoded",
    "builtins.memoryview": "base64.b64encode() of it, decoded",
    "datetime.date": "its isoformat()",
    "datetime.time": "its isoformat()",
    "datetime.timedelta": "its total_seconds()",
    "decimal.Decimal": "float() of it, or str() to keep each digit",
    "fractions.Fraction": "float() of it, or str() to keep it exact",
    "uuid.UUID": "str() of it",
    "pathlib.PurePath": "str() of it",
    "numpy.generic": "its item()",
    "numpy.ndarray": "its tolist()",
}
"""What to store instead of an object, by the name of its class or a base class: so nothing need be imported."""
_INSTEAD_BY_MEMBER = {
    "model_dump": "its model_dump(mode='json')",
    "__dataclass_fields__": "dataclasses.asdict() of it",
    "_asdict": "its _asdict()",
    "__next__": "list() of it",
    "keys": "dict() of it",
}


_of_type: Any = type.__dict__  # the real attributes of a class, whatever its metaclass says


def _instead(kind: type) -> str:
    """Return the part of a message that says what to store instead, without calling code of the class."""
    bases = _of_type["__mro__"].__get__(kind)
    for base in bases:
        module = _of_type["__module__"].__get__(base)
        if type(module) is str:
            instead = _INSTEAD.get(f"{module.partition('.')[0]}.{_of_type['__name__'].__get__(base)}")
            if instead:
                return f"; store {instead}"
    for member, instead in _INSTEAD_BY_MEMBER.items():
        if any(member in _of_type["__dict__"].__get__(base) for base in bases):
            return f"; store {instead}"
    return ""


def _checked_key(key: Any, path: str) -> str:
    if type(key) is not str:
        raise InvalidValueError(f"{_shortened(path)} has a key that is {kind_of(key)}; keys must be str")
    if (problem := lone_surrogate(key)) is not None:
        raise InvalidValueError(f"{_shortened(path)} has the key {shown(key)}, which holds {problem}")
    return key


def step(key: str) -> str:
    """Return the step of a path in a message from an object to one of its fields."""
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key, ensure_ascii=False)}]"


def _shortened(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..."


def _encode_exactly(value: Any, name: str, limit: int) -> str:
    """Encode a value that orjson refuses, if it is JSON."""
    _rebuild(value, name, limit)
    text = exact_text(value)
    size = len(text.encode())
    if size > limit:
        raise _too_large(name, f"{size:,}", limit)
    return _EXACTLY + text


def exact_text(value: Any) -> str:
    """Return the compact JSON text of a value that is known to be JSON, with every digit of its integers."""
    try:
        return _to_json(value)
    except ValueError:
        return _in_chunks(value)  # the host has lowered the interpreter's limit below `MAX_DIGITS`


def exact_value(text: str) -> Any:
    """Return the value of JSON text, with every digit of its integers. `decode` is faster, where it is exact.

    Raises:
        ValueError, RecursionError: If it is not JSON, or holds what is no value.
    """
    return json.loads(text, parse_int=parse_int, parse_float=_parse_float, parse_constant=_no_number)


def _parse_float(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise UnreadableError("a number that is not finite")


def _too_large(name: str, size: str, limit: int) -> ValueTooLargeError:
    return ValueTooLargeError(f"{name} takes {size} bytes of JSON; the limit is {limit:,}")


def _in_chunks(value: Any) -> str:
    """Encode like the C encoder, but integers chunk by chunk, which the interpreter never refuses."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_to_json(key)}:{_in_chunks(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_in_chunks, value))}]"
    return _digits(value) if type(value) is int else _to_json(value)


def _digits(number: int) -> str:
    rest, chunks = abs(number), list[str]()
    while rest >= 10**_CHUNK:
        rest, chunk = divmod(rest, 10**_CHUNK)
        chunks.append(f"{chunk:0{_CHUNK}d}")
    return ("-" if number < 0 else "") + str(rest) + "".join(reversed(chunks))
