"""Making an index through the administration API, which takes more than the right to read and write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import google.api_core.exceptions
import grpc

from datastore.errors import BackendUnavailableError, PermissionDeniedError
from datastore_firestore.client import Settings
from datastore_firestore.failures import NAME, error_for

logger = logging.getLogger("datastore")

_BUILD_SECONDS = 600.0
"""The longest time to wait for an index that is being built."""
_LOOK_SECONDS = 5.0


def admin_client(settings: Settings) -> Any:
    """Return a client of the administration API."""
    from google.cloud import firestore_admin_v1 as admin  # here, because few need it and importing it takes long

    return admin.FirestoreAdminClient(credentials=settings.credentials)


def command(settings: Settings, fields: Sequence[str]) -> str:
    """Return the command that creates an index, given its fields as the command takes them."""
    configs = " ".join(f"--field-config='field-path={field}'" for field in fields)
    return (
        f"gcloud firestore indexes composite create --project={settings.project} --database='{settings.database}' "
        f"--collection-group={settings.collection} --query-scope=collection {configs}"
    )


def until_usable(
    settings: Settings, name: str, fields: Sequence[Mapping[str, Any]], cure: str, usable: Callable[[], bool]
) -> None:
    """Create an index unless it can be used, and wait until it can.

    Args:
        settings: Whose collection it is for.
        name: What messages call it.
        fields: Its fields, as ``admin.Index.IndexField`` takes them.
        cure: The command that creates it.
        usable: Tells whether a query can use it, with a request.

    Raises:
        PermissionDeniedError: If it is missing and this process may not create it; the message has the command.
        BackendUnavailableError: If it is still being built after ten minutes.
    """
    if usable():
        return
    _create(settings, name, fields, cure)
    deadline = time.monotonic() + _BUILD_SECONDS
    while not usable():
        if time.monotonic() > deadline:
            raise BackendUnavailableError(
                f"the index {name} is still being built after {_BUILD_SECONDS:.0f} s; ask again later", backend=NAME
            )
        time.sleep(_LOOK_SECONDS)


def _create(settings: Settings, name: str, fields: Sequence[Mapping[str, Any]], cure: str) -> None:
    logger.info("creating an index, as this would: %s", cure)
    from google.cloud import firestore_admin_v1 as admin

    index = admin.Index(query_scope=admin.Index.QueryScope.COLLECTION, fields=fields)
    parent = f"{settings.root}/collectionGroups/{settings.collection}"
    try:
        admin_client(settings).create_index(parent=parent, index=index)
    except google.api_core.exceptions.AlreadyExists:
        pass  # and it is being built
    except google.api_core.exceptions.GoogleAPICallError as error:
        code = error.grpc_status_code or grpc.StatusCode.UNKNOWN
        if code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
            raise PermissionDeniedError(
                f"there is no index on {name}, and these credentials may not create one ({error.message}); "
                f"let an administrator run: {cure}",
                backend=NAME,
            ) from error
        raise error_for(code, error.message) from error
