"""What every topic stands on: its fixtures, and the way to say that a test does not apply."""

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
    """End a test that the backend cannot take because of an ability that it does not declare.

    Args:
        reason: Names the ability.
    """
    pytest.skip(NOT_APPLICABLE + reason)


class Opener(Protocol):
    """Opens a store on the database of the test; takes the options of `DataStore`."""

    def __call__(self, **options: Any) -> DataStore: ...


class Wrapper(Protocol):
    """Opens a store on the open backend of the test, with something between the two."""

    def __call__(self, wrapper: Callable[[Backend], Backend], **options: Any) -> DataStore: ...


class Topic:
    """Some tests on one subject. Their stores follow `Clock` and write access counts only when told to."""

    harness: ClassVar[type[Harness]]
    """What opens the backend."""

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
        """Return a function that opens a store; a second call opens another one on the same database."""
        with ExitStack() as opened:

            def open_store(**options: Any) -> DataStore:
                # Timing decides no test: a slow server may take as long as it takes.
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
        """Return what an agent gets: the store of ``user_1`` and ``agent_1``, in the namespace ``default``."""
        return store.agent("user_1", "agent_1")

    @pytest.fixture
    def backend(self, store: DataStore) -> Backend:
        """Return the open adapter itself."""
        return backend_of(store)

    @pytest.fixture
    def wrapped(self, backend: Backend, clock: Clock) -> Iterator[Wrapper]:
        """Return a function that opens a second store on the open backend, with a wrapper between them."""
        with ExitStack() as opened:

            def wrapped(wrapper: Callable[[Backend], Backend], **options: Any) -> DataStore:
                store = DataStore(wrapper(backend), **{"clock": clock, "flush_interval": 3600, **options})
                opened.callback(store.close)
                return store

            yield wrapped
