"""A file for each tenant: ``agents-<tenant>.db`` beside ``agents.db``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from datastore.backend import Backend
from datastore.errors import ConfigurationError, PermissionDeniedError
from datastore.tenants import Databases
from datastore.tenants.names import SEPARATOR
from datastore_sqlite.backend import SqliteBackend, promises
from datastore_sqlite.client import NAME, Settings
from datastore_sqlite.schema import TENANT_ID, application_of, no_directory

_LONGEST_FILE_NAME = 255  # bytes, on every file system in use
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite appends to the file's name for its own files (https://www.sqlite.org/tempfiles.html)."""


class SqliteFiles(Databases):
    """Files in the directory of the file that the URL names, which itself is not created."""

    def __init__(self, settings: Settings, path: Path) -> None:
        if not path.parent.is_dir():
            raise no_directory(path)
        self._settings = settings
        self._path = path
        longest = _LONGEST_FILE_NAME - len((path.suffix + max(_BESIDE, key=len)).encode())
        super().__init__(SqliteBackend, path.stem, longest, promises(settings))

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return SqliteBackend(replace(self._settings, path=self._file(name), tenant=True))

    def drop(self, name: str) -> bool:
        """See `Databases.drop`."""
        file = self._file(name)
        try:
            there = file.exists()
            if there and application_of(file) != TENANT_ID:
                raise ConfigurationError(
                    f"{file} is not the database of a tenant, although its name says so; it was left untouched",
                    backend=NAME,
                )
            # The log is removed last. If the file could not be removed, the contents of its log would otherwise be
            # lost.
            for path in (file, *(file.with_name(file.name + beside) for beside in _BESIDE)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise PermissionDeniedError(f"{file} cannot be removed: {error.strerror}", backend=NAME) from error
        return there

    def exists(self, name: str) -> bool:
        """See `Databases.exists`."""
        return self._file(name).exists()

    def names(self, beginning: str) -> list[str]:
        """See `Databases.names`. A file that only has a name like a tenant's is left out."""
        suffix = self._path.suffix
        return [
            path.name.removesuffix(suffix)
            for path in self._path.parent.iterdir()
            if path.name.startswith(beginning) and path.name.endswith(suffix) and application_of(path) == TENANT_ID
        ]

    def files(self) -> list[Path]:
        """Return the files of all tenants."""
        return [self._file(name) for name in self.names(self.base + SEPARATOR)]

    def _file(self, name: str) -> Path:
        return self._path.with_name(name + self._path.suffix)


class SqliteMemories(Databases):
    """Databases in memory. Each stays open until it is dropped, because closing it would empty it."""

    most_open = sys.maxsize

    def __init__(self, settings: Settings) -> None:
        super().__init__(SqliteBackend, "memory", sys.maxsize, promises(settings))
        self._settings = settings
        self._made: set[str] = set()

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        self._made.add(name)
        return SqliteBackend(self._settings)

    def drop(self, name: str) -> bool:
        """See `Databases.drop`."""
        there = name in self._made
        self._made.discard(name)
        return there

    def exists(self, name: str) -> bool:
        """See `Databases.exists`."""
        return name in self._made

    def names(self, beginning: str) -> list[str]:
        """See `Databases.names`."""
        return [name for name in list(self._made) if name.startswith(beginning)]
