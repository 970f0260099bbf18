"""What an adapter author fills in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import datastore
from datastore import DataStore


class Harness:
    """Opens one backend for one test; every test has a harness of its own.

    Define `name`, and `url` or `open`. The rest is optional.

    The tests of a ``shared`` backend send the harness to other processes: it must then be picklable and its class
    importable, which one at the top of a test module is.

    Attributes:
        tmp_path: An empty directory for this test alone.
    """

    name: ClassVar[str]
    """What the report and ``conformance_backends`` call the backend."""

    differs: ClassVar[Mapping[str, str]] = {}
    """What the server of the tests is known to do otherwise than the database in production, by the name of the test
    that would find it: each entry is reported as not applicable, with this reason. A backend of which a complete run is
    demanded should have hardly any.
    """

    loses: ClassVar[Mapping[str, str]] = {}
    """Names of members that the server of the tests loses though the database in production keeps them, each with the
    reason: the property tests make no value with such a member, and the report says so.
    """

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self._url: str | None = None

    def url(self) -> str:
        """Return the URL of a fresh, empty database. Called once for each test."""
        raise NotImplementedError(f"{type(self).__name__} must define url() or open()")

    def open(self, **options: Any) -> DataStore:
        """Open the store: in one test always on the same database.

        Args:
            **options: What `DataStore` takes.
        """
        if self._url is None:
            self._url = self.url()
        return datastore.connect(self._url, **options)

    def outage(self, store: DataStore) -> AbstractContextManager[None] | None:
        """Return a context manager during which the database of an open store cannot be reached.

        The lower it acts, the more it proves: cut the connection, rather than to let the adapter's methods raise. When
        the block ends the same store must work again. ``None``, the default, says that it cannot be brought about.
        """
        return None

    def close(self) -> None:
        """Remove what the test has left behind. Called after every test; its stores are closed by then."""
