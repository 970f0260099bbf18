"""What an adapter's author fills in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import datastore
from datastore import Backend, DataStore


class Harness:
    """Opens one backend for one test. Every test has its own harness.

    Define `name`, and `url` or `open`. The rest is optional.

    The tests of a ``shared`` backend send the harness to other processes. So it must be picklable and its class
    importable, as a class at the top of a test module is.

    Attributes:
        tmp_path: An empty directory for this test alone.
    """

    name: ClassVar[str]
    """The backend's name in the report and in ``conformance_backends``."""

    differs: ClassVar[Mapping[str, str]] = {}
    """What the test server is known to do differently from the production database, by the name of the test that would
    find it. Each entry is reported as not applicable, with this reason. A backend that must run completely should have
    hardly any entries.
    """

    loses: ClassVar[Mapping[str, str]] = {}
    """Names of members that the test server loses although the production database keeps them, each with the reason.
    The property tests generate no values with such members, and the report says so.
    """

    examples: ClassVar[int] = 60
    """How many examples each property test generates. Fewer are for a slow test server, and the report says so."""

    many: ClassVar[int] = 12_000
    """How many records the largest test writes, at least 3,000: more than any database returns in one page by default.
    Fewer are for a slow test server that returns smaller pages, and the report says so.
    """

    left_out: ClassVar[Mapping[str, str]] = {}
    """Names of topics that do not run on this test server, each with the reason, which says where they run instead.
    Of several test servers for one database, one should run the whole kit, and the others what they can do differently
    from it. The report names the topics and the number of their tests. All other topics must run.
    """

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self._url: str | None = None

    def url(self) -> str:
        """Return the URL of a fresh, empty database. It is called once for each test."""
        raise NotImplementedError(f"{type(self).__name__} must define url() or open()")

    def open(self, **options: Any) -> DataStore:
        """Open the store. In one test, this must always open the same database.

        Args:
            **options: Any options of `DataStore`.
        """
        if self._url is None:
            self._url = self.url()
        store: DataStore = datastore.connect(self._url, **options)
        return store

    def over(self, backend: Backend, **options: Any) -> DataStore:
        """Open a store on a backend that is open already: the test has put something between the store and yours.

        Args:
            backend: The backend.
            **options: Any options of `DataStore`.
        """
        return DataStore(backend, **options)

    def outage(self, store: DataStore) -> AbstractContextManager[None] | None:
        """Return a context manager during which the database of an open store cannot be reached.

        The lower it acts, the more it proves: rather cut the connection than make the adapter's methods raise. After
        the block, the same store must work again. The default, ``None``, means that an outage cannot be caused.
        """
        return None

    def close(self) -> None:
        """Remove what the test has left. It is called after every test, when the test's stores are closed."""
