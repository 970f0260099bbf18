"""Returns values as objects of the program's own types: Pydantic models, dataclasses, TypedDicts and others.

A value is validated as Pydantic validates JSON, because JSON is what is stored: a model, even a strict one, reads what
its ``model_dump(mode="json")`` wrote. Pydantic is imported when a type is first given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import orjson

from datastore.arguments import is_a, shown
from datastore.errors import InvalidValueError, kind_of
from datastore.values import encode, step

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

_KEPT = 256
"""How many validators are kept: making one takes about as long as a hundred reads."""
_CALLED = (FunctionType, BuiltinFunctionType, MethodType, partial)
"""Functions are not types, but Pydantic would call them with the value as their arguments."""
_INSTEAD = "give a Pydantic model, a dataclass, a TypedDict or another type that Pydantic knows"
_QUOTING = frozenset({"error", "tag", "tz_actual"})
"""The entries in the context of Pydantic's errors that may come from the value."""


def fitting(type: type[T], namespace: str, backend: str) -> Callable[[str, Any], T]:
    """Return a function that turns the value under a key into an object of a type.

    Args:
        type: The type.
        namespace: The namespace of the key, for errors.
        backend: The name of the database, for errors.

    The function raises `InvalidValueError` if the value does not fit; the message has the key and the path, and quotes
    nothing of the value. Other errors than ``ValueError`` and ``AssertionError`` of the type's validators are raised as
    they are.

    Raises:
        InvalidValueError: If ``type`` is not a type that Pydantic can validate.
    """
    adapter: TypeAdapter[T] = _adapter_of(type)

    def fit(key: str, value: Any) -> T:
        from pydantic import ValidationError

        try:
            return adapter.validate_json(_json_of(value))
        except ValidationError as error:
            problem = _problem(error, value)
        # Raised outside the except block, so that Pydantic's error, which quotes the value, is not in its context.
        raise InvalidValueError(f"the value does not fit {_name_of(type)}: {problem}").during(
            f"reading {key!r} of namespace {namespace!r}", backend
        )

    return fit


def _adapter_of(form: Any) -> TypeAdapter[Any]:
    if type(form) in _CALLED or is_a(form, str):  # Pydantic would look up a class of that name in this module
        raise InvalidValueError(f"type is {shown(form)}; {_INSTEAD}")
    try:
        hash(form)
    except Exception:  # noqa: BLE001 - whatever an object raises that cannot be a key
        make = _make_adapter
    else:
        make = _kept_adapter
    try:
        return make(form)
    except Exception as error:  # whatever Pydantic raises, or the object
        reason = getattr(error, "message", None)  # Pydantic's errors have one
        why = f" ({reason.splitlines()[0].partition('. ')[0][:200]})" if type(reason) is str and reason else ""
        raise InvalidValueError(
            f"type is {_name_of(form)}, by which nothing can be validated{why}; {_INSTEAD}"
        ) from error


def _make_adapter(form: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # imported here, because Pydantic takes longer to import than everything else

    adapter = TypeAdapter(form)
    if not adapter.pydantic_complete:
        adapter.rebuild(raise_errors=True)
    return adapter


_kept_adapter = lru_cache(_KEPT)(_make_adapter)


def _json_of(value: Any) -> bytes | str:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits
        return encode(value, limit=1 << 62)


def _problem(error: ValidationError, value: Any) -> str:
    """Return the first problem of a value, where it is, and how many more there are."""
    from pydantic_core import core_schema

    found = error.errors(include_url=False, include_input=False)
    kind, said, others = found[0]["type"], found[0]["msg"], len(found) - 1
    if kind in ("value_error", "assertion_error") or kind not in get_args(core_schema.ErrorType):
        said = "a validator refuses it"  # its own message may quote the value
    elif not _QUOTING.isdisjoint(found[0].get("ctx", {})):
        said = f"it is refused ({kind})"
    path, fit = _path(found[0]["loc"], value), said.removeprefix("Input should ")
    if kind.startswith("missing"):
        text = f"{path} is missing"
    else:
        text = f"{path}: {said}" if fit == said else f"{path} should {fit}"
    return f"{text}, and {others} more" if others else text


def _path(location: Sequence[str | int], value: Any) -> str:
    """Return the path of a problem in a value. Pydantic's location also has the branches of unions that it tried."""
    path = "value"
    for number, part in enumerate(location):
        inside = isinstance(value, dict) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
        elif number < len(location) - 1 or not isinstance(value, dict) or isinstance(part, int) or "[" in part:
            continue
        path += f"[{part}]" if isinstance(part, int) else step(part)
    return path


def _name_of(form: Any) -> str:
    """Return the name of a type for messages."""
    if is_a(form, type):
        return _name_of_class(form)
    return str(form) if type(form).__module__ in ("types", "typing") else kind_of(form)


_name_of_class: Callable[[Any], str] = type.__dict__["__name__"].__get__  # the real name, whatever a metaclass says
