"""What every topic is based on: its fixtures, and how a test says that it does not apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol

import pytest

from datastore import AgentDataStore, DataStore
from datastore.backend import Backend
from datastore.conformance.clock import Clock
from datastore.conformance.faults import backend_of
from datastore.conformance.harness import Harness

NOT_APPLICABLE = "not applicable: "


def not_applicable(reason: str) -> NoReturn:
    """End a test that does not apply, because the backend does not declare an ability.

    Args:
        reason: A text that names the ability.
    """
    pytest.skip(NOT_APPLICABLE + reason)


class Opener(Protocol):
    """Opens a store on the test's database, with the options of `DataStore`."""

    def __call__(self, **options: Any) -> DataStore: ...


class Wrapper(Protocol):
    """Opens a store on the test's open backend, with a wrapper between the two."""

    def __call__(self, wrapper: Callable[[Backend], Backend], **options: Any) -> DataStore: ...


class Topic:
    """Tests on one subject. Their stores use `Clock`, and write access counts only when told to."""

    harness: ClassVar[type[Harness]]
    """The class that opens the backend."""

    @pytest.fixture(name="harness")
    def _make_harness(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Harness]:
        if not hasattr(self, "harness"):
            pytest.fail(f"{type(self).__name__} needs a harness: harness = MyHarness")
        test = getattr(request.node, "originalname", request.node.name)
        if test in type(self).harness.differs:
            not_applicable(f"the test server differs: {type(self).harness.differs[test]}")
        harness = type(self).harness(tmp_path)
        yield harness
        harness.close()

    @pytest.fixture
    def clock(self) -> Clock:
        """Return the clock of the test's stores."""
        return Clock()

    @pytest.fixture
    def open_store(self, harness: Harness, clock: Clock) -> Iterator[Opener]:
        """Return a function that opens a store. A second call opens another store on the same database."""
        with ExitStack() as opened:

            def open_store(**options: Any) -> DataStore:
                # Time decides no test: a slow server may take as long as it needs.
                store = harness.open(**{"clock": clock, "flush_interval": 3600, "max_seconds": 600, **options})
                opened.callback(store.close)
                return store

            yield open_store

    @pytest.fixture
    def store(self, open_store: Opener) -> DataStore:
        """Return an open store."""
        return open_store()

    @pytest.fixture
    def data_store(self, store: DataStore) -> AgentDataStore:
        """Return what an agent gets: a store bound to ``user_1``, ``agent_1`` and the namespace ``default``."""
        return store.agent("user_1", "agent_1")

    @pytest.fixture
    def backend(self, store: DataStore) -> Backend:
        """Return the open adapter itself."""
        return backend_of(store)

    @pytest.fixture
    def wrapped(self, harness: Harness, backend: Backend, clock: Clock) -> Iterator[Wrapper]:
        """Return a function that opens a second store on the open backend, with a wrapper between them."""
        with ExitStack() as opened:

            def wrapped(wrapper: Callable[[Backend], Backend], **options: Any) -> DataStore:
                store = harness.over(wrapper(backend), **{"clock": clock, "flush_interval": 3600, **options})
                opened.callback(store.close)
                return store

            yield wrapped
