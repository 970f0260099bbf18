"""The public model of one stored record.

This module imports Pydantic, which takes longer to import than everything else in the package together. So it is
imported only when a record is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel

from datastore.backend import Document
from datastore.documents import TOGETHER, names_of
from datastore.errors import DamagedRecordError
from datastore.ids import names_of_all
from datastore.showing import Short, short, table
from datastore.times import parse_time, parse_times


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]


class Record(BaseModel):
    """One record with its provenance.

    Attributes:
        id: The id in the database, ``<user>:<ns>:<b64key>``.
        user_id: Whose record it is.
        namespace: The namespace it lies in.
        key: Its key there.
        value: The stored JSON value; a copy.
        metadata: What the writers said about it.
        created_by_agent: The agent whose `set` or `add` created it; empty if the host did (`DataStore.host`).
        updated_by_agent: The agent that changed value or metadata last; empty for the host. ``None`` if the record was
            written last by a version that did not note it.
        last_accessed_by_agent: The agent that read it last; ``None`` before the first access.
        access_count: How often its value was read.
        created_at: When it was created.
        updated_at: When a write changed value, metadata or expiry last; a `touch` does not count.
        last_accessed_at: When its value was read last; ``None`` before the first access.
        revision: Opaque; a new one with every write. An access or a `touch` does not change it.
        expires_at: When it expires; ``None`` for never.

    Times are timezone-aware and in UTC. Serialised (``model_dump``, ``model_dump_json``) the names are in camel case
    and, in JSON, the times RFC 3339 with microseconds and ``Z``, as in the database.
    """

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    id: str
    user_id: str
    namespace: str
    key: str
    value: Any
    metadata: dict[str, Any]
    created_by_agent: str
    last_accessed_by_agent: str | None
    access_count: int
    created_at: Time
    updated_at: Time
    last_accessed_at: Time | None
    revision: str
    expires_at: Time | None
    updated_by_agent: str | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make what Pydantic keeps of a model beside its fields when it is first asked for: in most, never."""
            if name == "__pydantic_fields_set__":
                made = set(type(self).model_fields)
            elif name in ("__pydantic_extra__", "__pydantic_private__"):
                made = None
            else:
                return super().__getattr__(name)
            object.__setattr__(self, name, made)
            return made

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields for the ``repr``: the most important ones, and the value shortened."""
        yield "key", self.key
        yield "value", Short(self.value)
        if self.metadata:
            yield "metadata", Short(self.metadata)
        for name in ("namespace", "user_id", "created_by_agent", "access_count", "revision"):
            yield name, getattr(self, name)
        yield "updated_at", Short(_rfc3339(self.updated_at))
        if self.expires_at is not None:
            yield "expires_at", Short(_rfc3339(self.expires_at))

    def _repr_html_(self) -> str:
        """Return a table of all fields, for Jupyter."""
        fields = type(self).model_fields
        return table((), ((name, _cell(name, getattr(self, name))) for name in fields), len(fields))


def _cell(name: str, value: object) -> str:
    """Return the text of a table cell; a value is shown such that text can be told from a number."""
    if isinstance(value, datetime):
        return _rfc3339(value)
    return value if isinstance(value, str) and name != "value" else short(value)


def page_table(records: Sequence[Record], cursor: str | None) -> str:
    """Return a page of records as a table, for Jupyter."""
    columns = ("key", "value", "metadata", "created_by_agent", "access_count", "updated_at")
    rows = ([_cell(name, getattr(one, name)) for name in columns] for one in records)
    return table(columns, rows, len(records), "" if cursor is None else "More records follow: see cursor.")


_new = BaseModel.__new__
_set_fields = cast(Any, BaseModel.__dict__["__dict__"]).__set__


def to_record(document: Document) -> Record:
    """Return the record for a document that was read with `Fields.ALL`, and is therefore checked.

    Raises:
        DamagedRecordError: If its id is not one.
    """
    return _record(document, parse_time, *names_of(document.id))


def to_records(documents: Sequence[Document]) -> list[Record]:
    """Return the records for checked documents, in less time than one by one if they are many.

    Raises:
        ValueError: If the id of one of them is not one.
    """
    if len(documents) < TOGETHER:
        try:
            return [to_record(document) for document in documents]
        except DamagedRecordError as error:
            raise ValueError(str(error)) from None
    _, created, _, expiries, _, _, _, updated, _, _, accessed, _ = zip(*documents, strict=True)
    times = parse_times({*created, *updated, *expiries, *accessed} - {None}).__getitem__
    names = names_of_all([document.id for document in documents])
    return [_record(document, times, *name) for document, name in zip(documents, names, strict=True)]


def _record(document: Document, time: Callable[[str], datetime], user_id: str, namespace: str, key: str) -> Record:
    (
        id,
        created_at,
        revision,
        expires_at,
        value,
        metadata,
        created_by_agent,
        updated_at,
        access_count,
        last_accessed_by_agent,
        last_accessed_at,
        updated_by_agent,
    ) = document
    record = _new(Record)
    # This is what `Record.model_construct` does, which takes ten times as long.
    _set_fields(
        record,
        {
            "id": id,
            "user_id": user_id,
            "namespace": namespace,
            "key": key,
            "value": value,
            "metadata": metadata or {},
            "created_by_agent": created_by_agent,
            "last_accessed_by_agent": last_accessed_by_agent,
            "access_count": access_count,
            "created_at": time(created_at),
            "updated_at": time(updated_at),
            "last_accessed_at": None if last_accessed_at is None else time(last_accessed_at),
            "revision": revision,
            "expires_at": None if expires_at is None else time(expires_at),
            "updated_by_agent": updated_by_agent,
        },
    )
    return record
