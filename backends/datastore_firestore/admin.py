"""What an administrator should know of a Firestore database and of the collection in it."""

from __future__ import annotations

from typing import Any

import google.api_core.exceptions
import google.auth.exceptions

from datastore.administration import Diagnostic, clocks
from datastore_firestore.building import admin_client
from datastore_firestore.client import Connection, Settings
from datastore_firestore.vectors import examine_vectors

_NO_ONE = "0"  # an id that no record has


def examine(connection: Connection, settings: Settings, now: float) -> list[Diagnostic]:
    """See `Backend.examine`.

    Requests: 1, and 3 of the administration API, which the emulator does not have.
    """
    where = "the emulator" if settings.emulator else "Firestore"
    findings = [
        Diagnostic(True, f"{where} serves the collection {settings.collection}"),
        _clock(connection, settings, now),
    ]
    if settings.emulator:
        return [
            *findings,
            Diagnostic(True, "the emulator keeps everything in memory and has no TTL and no quotas"),
        ]
    client = admin_client(settings)
    return [*findings, _database(client, settings), _expiry(client, settings), examine_vectors(client, settings)]


def _clock(connection: Connection, settings: Settings, now: float) -> Diagnostic:
    moment = connection.time_of(settings.prefix + _NO_ONE)
    return clocks(now, moment, "Firestore's", "synchronise this one (NTP)")


def _database(client: Any, settings: Settings) -> Diagnostic:
    try:
        database = client.get_database(name=settings.root)
    except (google.api_core.exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError) as error:
        return Diagnostic(True, f"cannot tell what kind of database it is: {_said(error)}")
    if database.type_.name == "DATASTORE_MODE":
        remedy = "name a database in native mode in the URL (?database=...)"
        return Diagnostic(False, "the database is in Datastore mode, which has a different API", remedy)
    recovery = "on" if database.point_in_time_recovery_enablement.name.endswith("_ENABLED") else "off"
    return Diagnostic(True, f"point-in-time recovery is {recovery}")


def _expiry(client: Any, settings: Settings) -> Diagnostic:
    name = f"{settings.root}/collectionGroups/{settings.collection}/fields/expiresAt"
    try:
        state = client.get_field(name=name).ttl_config.state.name
    except (google.api_core.exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError) as error:
        return Diagnostic(True, f"cannot tell whether a TTL policy removes expired records: {_said(error)}")
    if state in ("ACTIVE", "CREATING"):
        return Diagnostic(True, "expired records are removed by a TTL policy")
    return Diagnostic(
        False,
        "expiresAt has no TTL policy: expired records stay hidden, and only purge_expired() removes them",
        f"gcloud firestore fields ttls update expiresAt --collection-group={settings.collection} --enable-ttl",
    )


def _said(error: Exception) -> str:
    return str(getattr(error, "message", None) or type(error).__name__)[:200]
