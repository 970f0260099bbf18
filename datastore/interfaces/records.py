"""What the interfaces need of the store below them: the calls of `AgentDataStore`, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, Self, overload

from datastore.queries.shaping import FieldsArgument, FilterArgument, SortArgument


class Records(Protocol):
    """The calls of `AgentDataStore` that the interfaces use; they are documented there."""

    @property
    def namespace(self) -> str: ...

    def use_namespace(self, namespace: str) -> Self: ...

    @overload
    def get(self, key: str) -> Any: ...

    @overload
    def get(self, key: str, default: Any) -> Any: ...

    def exists(self, key: str) -> bool: ...

    def set(self, key: str, value: Any) -> str: ...

    def add(self, key: str, value: Any) -> str: ...

    def delete(self, key: str) -> bool: ...

    def modify(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any: ...

    def increment(self, key: str, by: float = 1) -> int | float: ...

    def append(self, key: str, *items: Any) -> list[Any]: ...

    def get_all(self) -> dict[str, Any]: ...

    def clear(self, prefix: str | None = None) -> int: ...

    def list_keys(self, prefix: str | None = None) -> list[str]: ...

    def list_namespaces(self, prefix: str | None = None) -> list[str]: ...

    def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> dict[str, Any]: ...

    def count(self, filter: FilterArgument | None = None, *, meta: FilterArgument | None = None) -> int: ...


class _Missing(Enum):
    RECORD = 0


class UnchangedError(Exception):
    """Raised by the function that changes a record, to leave the record as it is."""


def change(records: Records, key: str, function: Callable[[Any], Any]) -> bool:
    """Replace the value of a record by the result of a function; do nothing if there is no record.

    Nobody's change is lost, and a record that another writer removes meanwhile does not come back.

    Args:
        records: The store that holds the record.
        key: The key.
        function: Takes a copy of the value and returns the new one, or raises `UnchangedError`. It may be called
            several times.

    Returns:
        Whether the record was changed.
    """

    def apply(value: Any) -> Any:
        if value is _Missing.RECORD:
            raise UnchangedError
        return function(value)

    try:
        records.modify(key, apply, _Missing.RECORD)
    except UnchangedError:
        return False
    return True
