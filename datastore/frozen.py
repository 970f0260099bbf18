"""Frozen dataclasses and named tuples, for the classes that every program loads, made in less time.

Importing `dataclasses` imports `inspect`, which imports `ast`, `dis` and `tokenize`: a fifth of what
``import datastore`` took. Here is as much of it as these classes need. For whoever else looks at them they are
dataclasses: `dataclasses.fields`, `dataclasses.replace` and `dataclasses.is_dataclass` take them, and a dataclass may
inherit from them. A type checker sees `dataclasses.dataclass` itself.

`typing.NamedTuple` compiles each annotation to look whether it could be a type, which takes longer than making the
class: a tenth of ``import datastore``. A type checker has looked at those here, and sees `typing.NamedTuple` itself.
"""

from __future__ import annotations

import typing
from collections import namedtuple
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple", "dataclass", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
    from typing import NamedTuple
else:

    class _Named(type):
        def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, members)
            types = members.pop("__annotations__", {})
            defaults = [members.pop(field) for field in types if field in members]
            made: Any = namedtuple(name, types, defaults=defaults, module=members["__module__"])  # noqa: PYI024 - the other is what this replaces
            made.__annotations__ = made.__new__.__annotations__ = types
            made.__orig_bases__ = (typing.NamedTuple,)
            for member, value in members.items():
                setattr(made, member, value)
            return made

    class NamedTuple(metaclass=_Named):
        """What a class inherits from to become a tuple whose fields are its annotations."""

    def dataclass(*, frozen: bool, slots: bool, kw_only: bool = False) -> Callable[[type], type]:
        """Return the decorator that makes a class with slots of one whose fields are its annotations.

        ``frozen`` and ``slots`` must be true: they are named because type checkers take this for the real one. Every
        field is an argument of ``__init__``, and counts for equality, hashing and the repr.
        """
        if not (frozen and slots):
            raise TypeError("only frozen classes with slots are made here; for others there is dataclasses.dataclass")
        return lambda declared: _made(declared, kw_only)

    def replace(instance: Any, /, **changes: Any) -> Any:
        """Return a copy of an instance with some fields changed, as `dataclasses.replace` does."""
        return instance.__replace__(**changes)


_KNOWN = ("__dataclass_fields__", "__dataclass_params__")
"""The attributes in which `dataclasses` keeps what it knows of a class."""


class _Known:
    """Stands for such an attribute until somebody looks at one: then `dataclasses` makes them.

    Args:
        declared: The class as it was declared.
        kw_only: Whether its fields are given by name only.
    """

    def __init__(self, declared: type, kw_only: bool) -> None:
        self._declared = declared
        self._kw_only = kw_only

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        import dataclasses  # imported here: the time that it takes is what this module saves

        # Of a copy, because the decorator changes the class that it is given, and two threads may look at once.
        copy: type = type(self._declared)(self._declared.__name__, self._declared.__bases__, _members(self._declared))
        twin: Any = dataclasses.dataclass(frozen=True, slots=True, kw_only=self._kw_only)(copy)
        for name in _KNOWN:
            setattr(self._owner, name, getattr(twin, name))
        return getattr(self._owner, self._name)


def _members(declared: type) -> dict[str, Any]:
    return {name: value for name, value in vars(declared).items() if name not in {"__dict__", "__weakref__"}}


def _made(declared: type, kw_only: bool) -> type:
    """Return the class that `dataclasses` would make of one."""
    names = tuple(declared.__annotations__)
    members = _members(declared)
    defaults = {name: members.pop(name) for name in names if name in members}
    members["__qualname__"] = declared.__qualname__
    members["__slots__"] = names
    members["__match_args__"] = () if kw_only else names
    members["__init__"] = _initial(declared, names, defaults, kw_only)
    members |= {name: _Known(declared, kw_only) for name in _KNOWN}
    made: type = type(declared)(declared.__name__, declared.__bases__, members)
    for name, method in _methods(made, names).items():
        setattr(made, name, method)
    return made


def _initial(declared: type, names: tuple[str, ...], defaults: dict[str, Any], kw_only: bool) -> Any:
    """Return ``__init__``. It is made of text, as by `dataclasses`: so the interpreter itself checks the arguments."""
    arguments = [f"{name}=defaults[{name!r}]" if name in defaults else name for name in names]
    text = f"def __init__(self, {'*, ' if kw_only else ''}{', '.join(arguments)}):\n"
    text += "".join(f"    put(self, {name!r}, {name})\n" for name in names)
    space: dict[str, Any] = {"put": object.__setattr__, "defaults": defaults}
    exec(text, space)  # noqa: S102 - the text holds nothing but the names of the fields
    method = space["__init__"]
    method.__qualname__ = f"{declared.__qualname__}.__init__"
    method.__module__ = declared.__module__
    method.__annotations__ = {**declared.__annotations__, "return": None}
    return method


def _methods(made: type, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the other methods of a class with these fields, by name."""

    def values_of(instance: object) -> list[Any]:
        return [getattr(instance, name) for name in names]

    def refuse(instance: object, name: str, what: str) -> None:
        if type(instance) is made or name in names:  # a class that inherits from it may have attributes of its own
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot {what} field {name!r}")

    def represent(self: object) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(names, values_of(self), strict=True))
        return f"{type(self).__qualname__}({shown})"

    def equal(self: object, other: object) -> bool:
        return values_of(self) == values_of(other) if type(other) is type(self) else NotImplemented

    def hash_of(self: object) -> int:
        return hash(tuple(values_of(self)))

    def assign(self: object, name: str, value: object) -> None:
        refuse(self, name, "assign to")
        object.__setattr__(self, name, value)

    def delete(self: object, name: str) -> None:
        refuse(self, name, "delete")
        object.__delattr__(self, name)

    def restore(self: object, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    def changed(self: Any, /, **changes: Any) -> Any:
        if type(self) is made:
            return made(**dict(zip(names, values_of(self), strict=True)) | changes)
        import dataclasses  # a class that inherits from it may have more fields

        return dataclasses.replace(self, **changes)

    return {
        "__repr__": represent,
        "__eq__": equal,
        "__hash__": hash_of,
        "__setattr__": assign,
        "__delattr__": delete,
        "__getstate__": values_of,
        "__setstate__": restore,
        "__replace__": changed,
    }
