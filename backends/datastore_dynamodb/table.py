"""Making sure that the table is there."""

from __future__ import annotations

import logging
from typing import Any

from botocore import exceptions as boto

from datastore.errors import BackendUnavailableError, ConfigurationError
from datastore.retry import Backoff
from datastore_dynamodb.client import Connection, translate
from datastore_dynamodb.schema import NAME, PARTITION, SORT, TTL, Settings, definition, missing

logger = logging.getLogger("datastore")
_CREATION_SECONDS = 120.0
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


def open_table(connection: Connection) -> None:
    """Make sure that the table is there: one request if it is.

    Encryption at rest is always on in DynamoDB, with a key that AWS owns; a key of one's own, like deletion protection
    or tags, is set on a table that one creates oneself.

    Raises:
        ConfigurationError: If it is missing and may not be made, or is a table of something else.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If DynamoDB does not answer, or the table does not become active in time.
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
    types = {one["AttributeName"]: one["AttributeType"] for one in description.get("AttributeDefinitions", ())}
    schema = [
        (part["AttributeName"], part["KeyType"], types.get(part["AttributeName"])) for part in description["KeySchema"]
    ]
    if sorted(schema) != [(PARTITION, "HASH", "S"), (SORT, "RANGE", "S")]:
        its_key = ", ".join(f"{name} ({kind}, type {type})" for name, kind, type in schema)
        raise ConfigurationError(
            f"the table {settings.table!r} belongs to something else: its key is {its_key} and not "
            f"{PARTITION} (HASH, type S), {SORT} (RANGE, type S). It was left untouched; name another one in the URL"
            + _moving_in(settings, {name for name, _, _ in schema}),
            backend=NAME,
        )
    if made is not None:
        try:
            _turn_on(connection)
        except boto.BotoCoreError as error:
            raise translate(error, settings) from error


def _moving_in(settings: Settings, names: set[str]) -> str:
    """Return how records come over from a table whose key is one that this kind of program takes."""
    if not names <= _SEED_KEYS:
        return ""
    region = f"?region={settings.region}" if settings.region else ""
    return f", and bring its records over with 'datastore import-legacy dynamodb://{settings.table}{region} TARGET_URL'"


def describe(connection: Connection) -> dict[str, Any] | None:
    """Return what DynamoDB says about the table, ``None`` if it is not there."""
    try:
        answer: Any = connection.client.describe_table(TableName=connection.settings.table)
    except boto.ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            return None
        raise translate(error, connection.settings) from error
    except boto.BotoCoreError as error:
        raise translate(error, connection.settings) from error
    table: dict[str, Any] = answer["Table"]
    return table


def _create(connection: Connection) -> dict[str, Any] | None:
    """Create the table and return its description, ``None`` if another process was quicker."""
    try:
        answer: Any = connection.client.create_table(**definition(connection.settings))
    except boto.ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceInUseException":
            return None
        raise translate(error, connection.settings) from error
    except boto.BotoCoreError as error:
        raise translate(error, connection.settings) from error
    table: dict[str, Any] = answer["TableDescription"]
    return table


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
    try:
        connection.client.delete_table(TableName=connection.settings.table)
    except boto.ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            return False
        raise translate(error, connection.settings) from error
    except boto.BotoCoreError as error:
        raise translate(error, connection.settings) from error
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while describe(connection) is not None:
        if not backoff.wait():
            raise BackendUnavailableError(
                f"the table {connection.settings.table!r} is still being deleted after {_CREATION_SECONDS:.0f} s",
                backend=NAME,
            )
    return True


def _turn_on(connection: Connection) -> None:
    """Turn on what a table cannot be created with: expiry, and recovery where it is wanted."""
    client, settings = connection.client, connection.settings
    try:
        client.update_time_to_live(
            TableName=settings.table, TimeToLiveSpecification={"AttributeName": TTL, "Enabled": True}
        )
    except boto.ClientError as error:
        # A server without expiry, or credentials that may not turn it on: expired records stay hidden all the same.
        _log(error, settings, "expiry")
    if settings.recovery:
        _recover(connection)


def _recover(connection: Connection) -> None:
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        try:
            connection.client.update_continuous_backups(
                TableName=connection.settings.table,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            )
            return
        except boto.ClientError as error:  # backups of a new table are not at once ready to be turned on
            code = error.response.get("Error", {}).get("Code")
            if code != "ContinuousBackupsUnavailableException" or not backoff.wait():
                raise translate(error, connection.settings) from error


def _log(error: boto.ClientError, settings: Settings, what: str) -> None:
    logger.warning(
        "%s was not turned on for the table %s (%s)", what, settings.table, error.response.get("Error", {}).get("Code")
    )
