"""The version of how a store keeps its records, which every database carries and `connect` looks at.

=  ==========================================================================================================
1  Ids end with the key in URL-safe base64 (RFC 4648, section 5), padded. Such a store has no version, or says 1.
2  Ids sort as keys do (`datastore.ids`).
=  ==========================================================================================================

A store of an earlier format is refused, and brought over with ``datastore migrate``: ids of the two formats cannot be
told apart by looking at them, so that a program which takes one for the other would miss records and write others
twice.
"""

from __future__ import annotations

from collections.abc import Callable

from datastore.errors import BackendUnusableError, ConfigurationError

FORMAT = 2
"""What this version reads and writes."""
EARLIEST = 1
"""That of a store which does not say any."""


def settle(
    read: Callable[[], int | None],
    is_empty: Callable[[], bool],
    write: Callable[[], None],
    where: str,
    backend: str,
    *,
    earlier: bool = False,
) -> None:
    """See that a database has the format that this version knows; give it to one that holds nothing yet.

    Args:
        read: Returns the version in the database, ``None`` if it has none.
        is_empty: Returns whether there is no record, and nothing that could be one, in any format.
        write: Writes `FORMAT`; for a store that is opened for reading only it does nothing.
        where: What to call the database in an error.
        backend: The adapter's name.
        earlier: Whether the earlier format is wanted, as `check`.

    Raises:
        ConfigurationError, BackendUnusableError: As `check`.
    """
    found = read()
    if found is None and is_empty():
        write()
        return
    if found is None:
        found = read()  # another process may have begun to use it between the two looks
    check(EARLIEST if found is None else found, where, backend, earlier=earlier)


def check(found: int, where: str, backend: str, *, earlier: bool = False) -> None:
    """Refuse a database of another format.

    Args:
        found: Its version.
        where: What to call it in an error.
        backend: The adapter's name.
        earlier: Whether it is opened by ``datastore migrate``, for which alone the earlier format is right.

    Raises:
        ConfigurationError: If it is an earlier one, or if ``earlier`` is wanted and it is not.
        BackendUnusableError: If a newer version has written it.
    """
    if found > FORMAT:
        raise BackendUnusableError(
            f"{where} was written by a newer agent-datastore (its format is {found}, this version knows {FORMAT}); "
            "install that version. It was left untouched",
            backend=backend,
        )
    if earlier and found == FORMAT:
        raise ConfigurationError(
            f"{where} has the current format already ({FORMAT}); there is nothing to migrate", backend=backend
        )
    if not earlier and found < FORMAT:
        raise ConfigurationError(
            f"{where} was written by an earlier agent-datastore (its format is {found}, this version needs {FORMAT}); "
            "bring it over with 'datastore migrate URL', on a server with 'datastore migrate URL SINK_URL'. It was "
            "left untouched",
            backend=backend,
        )
