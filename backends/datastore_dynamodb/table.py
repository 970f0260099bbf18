"""Making sure that the table exists and has the right format."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from datastore.adapters.answers import member
from datastore.errors import BackendUnavailableError, ConfigurationError, DataStoreError, PermissionDeniedError
from datastore.formats import settle
from datastore.retry import Backoff
from datastore_dynamodb.answers import AnswerLostError
from datastore_dynamodb.batches import patiently
from datastore_dynamodb.client import Connection, InUseError, RefusedError
from datastore_dynamodb.schema import NAME, PARTITION, SORT, TTL, MissingTableError, Settings, definition, missing
from datastore_dynamodb.version import look_inside, read_version, write_version

logger = logging.getLogger("datastore")
_CREATION_SECONDS = 120.0
_ANSWER_SECONDS = 10.0
_FIRST_LOOK, _LONGEST_PAUSE = 0.2, 3.0
_SEED_KEYS = {
    "_id",
    "id",
    "pk",
    "docId",
    "doc_id",
    "documentId",
    "document_id",
    "userId",
    "user_id",
    "namespace",
    "key",
}
"""The attributes that the key of another program's table of records may consist of."""


def open_table(connection: Connection, *, insist: bool) -> bool:
    """Make sure that the table exists and has the format that this version knows.

    DynamoDB always encrypts at rest, with a key that AWS owns. For a customer key, deletion protection or tags, create
    the table yourself.

    Args:
        connection: The connection.
        insist: Whether it is an error if the credentials may not write the format into an empty table.

    Returns:
        Whether the table says its format. If not, it is empty, and the format must be written before any record.

    Raises:
        ConfigurationError: If it is missing and may not be created, belongs to something else, or has an earlier
            format.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If DynamoDB does not answer, or the table does not become active in time.
        BackendUnusableError: If a newer version has written it.

    Requests: 1 if the table exists and says its format.
    """
    settings = connection.settings
    opening = _Opening(connection, insist)
    settle(
        opening.read,
        opening.is_empty,
        opening.write,
        f"the table {settings.table!r}",
        NAME,
        earlier=settings.earlier_format,
    )
    return opening.says_its_format


class _Opening:
    """What `settle` asks about a table, and what was found out while it did."""

    def __init__(self, connection: Connection, insist: bool) -> None:
        self._connection = connection
        self._insist = insist
        self._made = False
        self._seen: int | None = None
        self.says_its_format = False

    def read(self) -> int | None:
        """Return the format that the table says it has; make sure that the table exists if it does not say any."""
        refusal = None
        try:
            found = read_version(self._connection)
        except MissingTableError:  # or the table is still being created
            found = None
        except RefusedError as error:  # for example because the table's key has other names or types
            found, refusal = None, error
        self.says_its_format = found is not None
        if found is None:
            self._made = _make_sure(self._connection) or self._made
        if refusal is not None:
            raise refusal
        if found is None and self._seen is not None:
            self.write()  # it was made again while a store was open, which has written into it
            return self._seen
        return found

    def is_empty(self) -> bool:
        """Return whether there is nothing in the table."""
        try:
            if self._made:
                return True
            empty, self._seen = look_inside(self._connection)
            return empty
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"the table {self._connection.settings.table!r} does not say which format its records have, and the "
                "credentials do not permit to look whether it is empty; allow dynamodb:Scan until it has been opened "
                f"once, or put the item that docs/backends/dynamodb.md shows into it ({error.message})",
                backend=NAME,
            ) from error

    def write(self) -> None:
        """Write the format into the table."""
        if self._connection.settings.read_only:
            return
        try:
            # If several processes find the table empty, one of them is first, and that may be of another version.
            self.says_its_format = write_version(self._connection) or open_table(self._connection, insist=self._insist)
        except PermissionDeniedError:
            if self._insist:
                raise


def _make_sure(connection: Connection) -> bool:
    """Make sure that the table exists, and return whether it was created here.

    Raises:
        ConfigurationError: If it is missing and may not be created, or belongs to something else.
    """
    settings = connection.settings
    made = None
    description = describe(connection)
    if description is None:
        if not settings.create:
            raise missing(settings)
        description = made = _create(connection)
    if description is None or description["TableStatus"] == "CREATING":
        description = _wait(connection)
    schema = _key_of(description)
    if sorted(schema) != [(PARTITION, "HASH", "S"), (SORT, "RANGE", "S")]:
        its_key = ", ".join(f"{name} ({kind}, type {type})" for name, kind, type in schema)
        raise ConfigurationError(
            f"the table {settings.table!r} belongs to something else: its key is {its_key} and not "
            f"{PARTITION} (HASH, type S), {SORT} (RANGE, type S). It was left untouched; name another one in the URL"
            + _moving_in(settings, {name for name, _, _ in schema}),
            backend=NAME,
        )
    if made is not None:
        _turn_on(connection)
    return made is not None


def _moving_in(settings: Settings, names: set[str]) -> str:
    """Return how to import the records, if the table's key is like that of another program's records."""
    if not names <= _SEED_KEYS:
        return ""
    region = f"?region={settings.region}" if settings.region else ""
    return f", and bring its records over with 'datastore import-legacy dynamodb://{settings.table}{region} SINK_URL'"


def describe(connection: Connection) -> dict[str, Any] | None:
    """Return DynamoDB's description of the table, or ``None`` if it does not exist."""
    try:
        answer = connection.call("describe_table", TableName=connection.settings.table)
    except MissingTableError:
        return None
    return described(answer, "Table")


def described(answer: Any, name: str) -> dict[str, Any]:
    """Return the description of a table from an answer.

    Raises:
        BackendUnavailableError: If it does not say which state the table is in.
    """
    table: dict[str, Any] = member(answer, name, dict, NAME)
    member(table, "TableStatus", str, NAME)
    return table


def _key_of(description: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the names, kinds and types of the attributes in the key of a table."""
    types = {
        member(one, "AttributeName", str, NAME): member(one, "AttributeType", str, NAME)
        for one in member(description, "AttributeDefinitions", list, NAME)
    }
    return [
        (name := member(part, "AttributeName", str, NAME), member(part, "KeyType", str, NAME), types[name])
        for part in member(description, "KeySchema", list, NAME)
    ]


def _create(connection: Connection) -> dict[str, Any] | None:
    """Create the table and return its description, or ``None`` if another process was faster."""
    try:
        answer = connection.call("create_table", **definition(connection.settings))
    except InUseError:
        return None
    return described(answer, "TableDescription")


def _wait(connection: Connection) -> dict[str, Any]:
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        description = describe(connection)
        if description is not None and description["TableStatus"] != "CREATING":
            return description
        if not backoff.wait():
            raise BackendUnavailableError(
                f"the table {connection.settings.table!r} is still being created after {_CREATION_SECONDS:.0f} s",
                backend=NAME,
            )


def drop_table(connection: Connection) -> bool:
    """Remove the table, and return whether it existed. When this returns, the table can be created again."""
    if not _delete(connection):
        return False
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while describe(connection) is not None:
        if not backoff.wait():
            raise BackendUnavailableError(
                f"the table {connection.settings.table!r} is still being deleted after {_CREATION_SECONDS:.0f} s",
                backend=NAME,
            )
    return True


def _delete(connection: Connection) -> bool:
    """Begin to remove the table, and return whether it existed, even if the first answer was lost."""
    asked = False
    backoff = Backoff(_ANSWER_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        try:
            connection.call("delete_table", TableName=connection.settings.table)
            return True
        except MissingTableError:
            return asked
        except InUseError:
            if not asked:
                raise
            return True  # it is being removed
        except AnswerLostError:
            asked = True
            if not backoff.wait():
                raise


def _turn_on(connection: Connection) -> None:
    """Turn on what a table cannot be created with: time to live, and recovery if it is wanted."""
    settings = connection.settings
    wanted = {"AttributeName": TTL, "Enabled": True}
    turn_on = partial(connection.call, "update_time_to_live", TableName=settings.table, TimeToLiveSpecification=wanted)
    try:
        patiently(turn_on)
    except DataStoreError as error:
        # The server has no time to live, or the credentials may not turn it on. Expired records stay hidden all the
        # same.
        logger.warning("time to live was not turned on for the table %s (%s)", settings.table, error.message)
    if settings.recovery:
        _recover(connection)


def _recover(connection: Connection) -> None:
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        try:
            connection.call(
                "update_continuous_backups",
                TableName=connection.settings.table,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            )
            return
        except BackendUnavailableError:  # backups of a new table cannot be turned on at once
            if not backoff.wait():
                raise
