"""From a URL to an open backend."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Sequence
from typing import Any

from datastore.backend import Backend
from datastore.errors import ConfigurationError
from datastore.tenants import TenantBackend, is_wanted
from datastore.urls import Url, seconds
from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.client import Settings
from datastore_firestore.tenants import LONGEST_NAME, FirestoreCollections

DEFAULT_COLLECTION = "agent_data_store"
EMULATOR_VARIABLE = "FIRESTORE_EMULATOR_HOST"

# "Constraints on collection IDs": no slash, not "." or "..", not __.*__, 1,500 bytes (Firestore, Quotas and limits).
_NO_COLLECTION = re.compile(r"|\.{1,2}|__.*__|.*/.*", re.DOTALL)
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]*")
_DATABASE = re.compile(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]")


def connect(url: Url) -> Backend:
    """Open a store in a Firestore database: ``firestore://project/collection``.

    Parameters of the URL: ``database`` (``(default)``), ``timeout`` (seconds for one request, 10), ``emulator``
    (``host:port``; by default the value of ``$FIRESTORE_EMULATOR_HOST``), ``isolation`` (``database`` for a separate
    collection for each tenant). Two more can only be keyword arguments of `datastore.connect`: ``credentials`` (of
    google-auth; by default Google's own chain) and ``interceptors`` (gRPC client interceptors, for tracing).

    Raises:
        ConfigurationError: If the URL names no project, a parameter is wrong, there are no credentials, the database
            does not exist, or the collection holds another program's documents or has the earlier format.
        BackendUnusableError: If a newer version has written it.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If Firestore does not answer.

    Requests: 1, and 2 more the first time; with ``isolation`` as many for each tenant, when its collection is opened.
    """
    isolated = is_wanted(url)
    settings = settings_of(url)
    return TenantBackend(FirestoreCollections(settings)) if isolated else FirestoreBackend(settings)


def settings_of(url: Url) -> Settings:
    """Return the settings that a URL contains; see `connect`.

    Raises:
        ConfigurationError: If the URL is wrong.
    """
    if url.user or url.password:
        raise ConfigurationError(
            "a firestore URL takes no user and no password: credentials come from Google's own chain "
            "(GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login, or the machine's service account)"
        )
    settings = Settings(
        project=_project(url.host),
        collection=_collection(url.path),
        database=url.parameter("database", _database, "(default)"),
        timeout=url.parameter("timeout", _positive_seconds, 10.0),
        emulator=url.parameter("emulator", _address, None) or os.environ.get(EMULATOR_VARIABLE) or None,
        credentials=url.parameter("credentials", _as_it_is, None),
        interceptors=tuple(url.parameter("interceptors", _sequence, ())),
        read_only=url.read_only,
        earlier_format=url.earlier_format,
    )
    url.check_all_taken()
    return settings


def place(url: Url) -> Hashable:
    """Return a value that is the same for every URL of one collection, and different for another collection."""
    isolated, settings = is_wanted(url), settings_of(url)
    return "firestore", settings.emulator, settings.project, settings.database, settings.collection, isolated


def _project(host: str) -> str:
    if not _PROJECT.fullmatch(host):
        raise ConfigurationError(
            f"{host!r} is not a Google Cloud project; write firestore://my-project/{DEFAULT_COLLECTION}"
            if host
            else f"the firestore URL has no project; write firestore://my-project/{DEFAULT_COLLECTION}"
        )
    return host


def _collection(path: str) -> str:
    name = path.removeprefix("/") or DEFAULT_COLLECTION
    if _NO_COLLECTION.fullmatch(name) or len(name.encode()) > LONGEST_NAME:
        raise ConfigurationError(
            f"{name[:80]!r} cannot name a collection; write firestore://my-project/{DEFAULT_COLLECTION}"
        )
    return name


def _database(value: Any) -> str:
    if not isinstance(value, str) or not _DATABASE.fullmatch(value):
        raise ValueError("it must be (default), or 4 to 63 lower-case letters, digits and hyphens")
    return value


def _positive_seconds(value: Any) -> float:
    number = seconds(value)
    if number == 0:
        raise ValueError("it must be greater than zero")
    return number


def _address(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[^\s/]+:\d+", value):
        raise ValueError("it must be host:port")
    return value


def _as_it_is(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(
            "it must be a credentials object of google-auth; a key file goes into GOOGLE_APPLICATION_CREDENTIALS"
        )
    return value


def _sequence(value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError("it must be a list of gRPC client interceptors")
    return value
