"""Checks arguments by their real type, without trusting what the objects say about themselves.

`isinstance` trusts an object's ``__class__``, and an object of a subclass of `str` can return anything when it is
compared, encoded, added or shown. These functions look at the type and call the methods of the built-in classes, so a
bad argument can only lead to an error of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeGuard, TypeVar, overload

from datastore.errors import DataStoreError, InvalidNameError, InvalidNameTypeError, InvalidValueError, kind_of

T = TypeVar("T")
U = TypeVar("U")

_LONGEST_SHOWN = 80  # characters of an argument that a message quotes


@overload
def is_a(value: object, kind: type[T], /) -> TypeGuard[T]: ...


@overload
def is_a(value: object, kind: type[T], other: type[U], /) -> TypeGuard[T | U]: ...


def is_a(value: object, *kinds: type) -> bool:
    """Return whether a value is an instance of one of some classes, without calling the value's code."""
    return issubclass(type(value), kinds)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a mapping, without calling the value's code."""
    return issubclass(type(value), Mapping)


def as_text(value: str) -> str:
    """Return text as an exact `str`, with its real characters, even if a subclass shows others."""
    return value if type(value) is str else str.__str__(value)


def as_int(value: object) -> int | None:
    """Return a whole number as an exact `int`; ``None`` for anything else, including a `bool`."""
    return int.__int__(value) if is_a(value, int) and type(value) is not bool else None


def as_number(value: object) -> int | float | None:
    """Return a number as an exact `int` or `float`; ``None`` for anything else, including a `bool`."""
    if is_a(value, float):
        return float.__float__(value)
    return as_int(value)


def as_bool(value: object, parameter: str) -> bool:
    """Return an argument that is ``True`` or ``False``.

    Raises:
        InvalidValueError: If it is anything else, also what Python takes for one of them.
    """
    if type(value) is not bool:
        raise InvalidValueError(f"{parameter} is {kind_of(value)}; it must be True or False")
    return value


def as_seconds(value: timedelta) -> float:
    """Return the seconds of a `timedelta`."""
    return timedelta.total_seconds(value)


def elements(array: list[Any] | tuple[Any, ...]) -> list[Any]:
    """Return the real elements of a list or a tuple, even if a subclass shows others."""
    if is_a(array, list):
        return list(list.__iter__(array))
    return list(tuple.__iter__(array))  # type: ignore[arg-type]  # a TypeGuard does not narrow what comes after it


def iterating(values: Iterable[T], refusal: Callable[[], DataStoreError]) -> Iterator[T]:
    """Begin to iterate. What the iterator raises later is not translated."""
    try:
        return iter(values)
    except TypeError:
        raise refusal() from None


def as_dict(value: object, refusal: Callable[[], DataStoreError]) -> dict[Any, Any]:
    """Return the items of a mapping in an exact `dict`.

    What the caller's own mapping class raises is not translated.

    Raises:
        DataStoreError: What ``refusal`` returns, if it is not a mapping.
    """
    if is_a(value, dict):
        return dict(dict.items(value))  # `dict.copy` would call a subclass
    if not is_mapping(value):
        raise refusal()
    try:
        return dict(value)
    except (TypeError, ValueError):
        raise refusal() from None


def check_name(value: object, parameter: str) -> str:
    """Return a name as an exact `str`.

    Args:
        value: The argument.
        parameter: Its name in errors.

    Raises:
        InvalidNameError: If it is not text, or holds a lone surrogate.
    """
    if type(value) is str and value.isascii():  # most are, and need no closer look
        return value
    if not is_a(value, str):
        raise InvalidNameTypeError(f"{parameter} is {kind_of(value)}; it must be a str")
    text = as_text(value)
    if (problem := lone_surrogate(text)) is not None:
        raise InvalidNameError(f"{parameter} holds {problem}")
    return text


def check_text(value: object, parameter: str, instead: str) -> str:
    """Return a text argument as an exact `str`; ``instead`` says in an error what to give.

    Raises:
        InvalidValueError: If it is not text, or holds a lone surrogate.
    """
    if not is_a(value, str):
        raise InvalidValueError(f"{parameter} is {kind_of(value)}; {instead}")
    checked = as_text(value)
    if (problem := lone_surrogate(checked)) is not None:
        raise InvalidValueError(f"{parameter} holds {problem}")
    return checked


def lone_surrogate(text: str) -> str | None:
    r"""Return which lone surrogate, such as ``\ud83d``, makes a text invalid, and where; ``None`` if it is valid."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"a lone surrogate, {ascii(text[error.start])[1:-1]} at index {error.start}: half of a character and no "
            "text (docs/troubleshooting.md shows how to repair it)"
        )
    return None


def shown(value: Any) -> str:
    """Return an argument for a message: quoted and shortened if it is plain, else only its type."""
    kind = type(value)
    if kind is int and value.bit_length() > 4 * _LONGEST_SHOWN:
        return f"an int of {value.bit_length():,} bits"  # writing it out would take long, and Python may refuse
    if kind not in (str, int, float, bool, type(None)):
        return kind_of(value)
    quoted = repr(value if kind is not str else value[:_LONGEST_SHOWN])
    return quoted if kind is not str or len(value) <= _LONGEST_SHOWN else f"{quoted}..."
