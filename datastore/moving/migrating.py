"""From a store of the earlier format to the current one (`datastore.formats`)."""

from __future__ import annotations

import os

from datastore.connecting import connect_earlier, migrator
from datastore.errors import ConfigurationError
from datastore.moving.copying import copy
from datastore.moving.reports import OnProgress, Report
from datastore.store import DataStore
from datastore.urls import Url


def migrate(
    url: str,
    sink: DataStore | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Bring the records of a store of the earlier format to the current one.

    On SQLite that can be done in place, in one transaction that happens as a whole or not at all. On a server it
    cannot, because what was interrupted half way would hold ids of both formats, which nobody can tell apart: there
    the records are copied into another database, and the first stays as it is until somebody removes it.

    Nothing else may write to the store meanwhile.

    Args:
        url: The store of the earlier format.
        sink: The empty store for its records; ``None`` for the same one.
        checkpoint: As for `copy`; in place there is none, since nothing is left of an interrupted migration.
        on_progress: Is told how far it is.

    Returns:
        What was done, every record read back and compared.

    Raises:
        ConfigurationError: If the store has the current format already, or cannot be migrated in place.
        DamagedRecordError: If a record in place has an id that another one is to have; nothing was changed.
        PermissionDeniedError, BackendUnavailableError, BackendUnusableError: As `datastore.connect`.

    Requests: those of `copy`; in place one transaction.
    """
    if sink is None:
        in_place = migrator(url)
        parsed = Url(url)
        if in_place is None:
            raise ConfigurationError(
                f"a store on {parsed.scheme} is not migrated in place; name an empty database for its records, as in "
                "'datastore migrate URL SINK_URL'",
                backend=parsed.scheme,
            )
        number = in_place(parsed, on_progress)
        return Report(read=number, written=number, verified=number)
    with connect_earlier(url) as source:
        return copy(source, sink, checkpoint=checkpoint, on_progress=on_progress)
