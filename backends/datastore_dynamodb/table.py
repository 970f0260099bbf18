"""Making sure that the table is there, and of the right format."""

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
from datastore_dynamodb.version import is_empty, read_version, write_version

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
"""What the key of a table of records may consist of that another program has written."""


def open_table(connection: Connection, *, insist: bool) -> bool:
    """Make sure that the table is there and has the format that this version knows: one request if it says so.

    Encryption at rest is always on in DynamoDB, with a key that AWS owns; a key of one's own, like deletion protection
    or tags, is set on a table that one creates oneself.

    Args:
        connection: The connection.
        insist: Whether it is an error if an empty table may not be told its format.

    Returns:
        Whether the table says its format. If it does not it is empty, and has to before the first record is written.

    Raises:
        ConfigurationError: If it is missing and may not be made, is a table of something else or of an earlier format.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If DynamoDB does not answer, or the table does not become active in time.
        BackendUnusableError: If a newer version has written it.
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
    """What `settle` asks of a table, and what was found out on the way."""

    def __init__(self, connection: Connection, insist: bool) -> None:
        self._connection = connection
        self._insist = insist
        self._made = False
        self.says_its_format = False

    def read(self) -> int | None:
        """Return the format of the table; only one that does not say it is looked at itself, or made."""
        refusal = None
        try:
            found = read_version(self._connection)
        except MissingTableError:  # or it is being made
            found = None
        except RefusedError as error:  # as where the key of the table has other names or types
            found, refusal = None, error
        self.says_its_format = found is not None
        if found is None:
            self._made = _make_sure(self._connection) or self._made
        if refusal is not None:
            raise refusal
        return found

    def is_empty(self) -> bool:
        """Return whether there is nothing in the table."""
        try:
            return self._made or is_empty(self._connection)
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"the table {self._connection.settings.table!r} does not say which format its records have, and the "
                "credentials may not look whether it is empty; allow dynamodb:Scan until it was opened once, or put "
                f"the item into it that docs/backends/dynamodb.md shows ({error.message})",
                backend=NAME,
            ) from error

    def write(self) -> None:
        """Write the format into the table."""
        if self._connection.settings.read_only:
            return
        try:
            # Of several that find it empty one comes first, and it may be of another version.
            self.says_its_format = write_version(self._connection) or open_table(self._connection, insist=self._insist)
        except PermissionDeniedError:
            if self._insist:
                raise


def _make_sure(connection: Connection) -> bool:
    """Make sure that the table is there, and return whether it was made here.

    Raises:
        ConfigurationError: If it is missing and may not be made, or is a table of something else.
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
    """Return how records come over from a table whose key is one that this kind of program takes."""
    if not names <= _SEED_KEYS:
        return ""
    region = f"?region={settings.region}" if settings.region else ""
    return f", and bring its records over with 'datastore import-legacy dynamodb://{settings.table}{region} SINK_URL'"


def describe(connection: Connection) -> dict[str, Any] | None:
    """Return what DynamoDB says about the table, ``None`` if it is not there."""
    try:
        answer = connection.call("describe_table", TableName=connection.settings.table)
    except MissingTableError:
        return None
    return described(answer, "Table")


def described(answer: Any, name: str) -> dict[str, Any]:
    """Return the description of a table in an answer.

    Raises:
        BackendUnavailableError: If it does not say in which state the table is.
    """
    table: dict[str, Any] = member(answer, name, dict, NAME)
    member(table, "TableStatus", str, NAME)
    return table


def _key_of(description: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the names, kinds and types of what the key of a table consists of."""
    types = {
        member(one, "AttributeName", str, NAME): member(one, "AttributeType", str, NAME)
        for one in member(description, "AttributeDefinitions", list, NAME)
    }
    return [
        (name := member(part, "AttributeName", str, NAME), member(part, "KeyType", str, NAME), types[name])
        for part in member(description, "KeySchema", list, NAME)
    ]


def _create(connection: Connection) -> dict[str, Any] | None:
    """Create the table and return its description, ``None`` if another process was quicker."""
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
    """Remove the table, and return whether it was there. Returns when it is gone, so that another can be made."""
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
    """Begin to remove the table, and return whether it was there: also where the first answer was lost."""
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
    """Turn on what a table cannot be created with: expiry, and recovery where it is wanted."""
    settings = connection.settings
    wanted = {"AttributeName": TTL, "Enabled": True}
    turn_on = partial(connection.call, "update_time_to_live", TableName=settings.table, TimeToLiveSpecification=wanted)
    try:
        patiently(turn_on)
    except DataStoreError as error:
        # A server without expiry, or credentials that may not turn it on: expired records stay hidden all the same.
        logger.warning("expiry was not turned on for the table %s (%s)", settings.table, error.message)
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
        except BackendUnavailableError:  # backups of a new table are not at once ready to be turned on
            if not backoff.wait():
                raise
