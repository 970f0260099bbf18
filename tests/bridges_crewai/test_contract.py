"""CrewAI's memory, by the contract tests of `crewai_memory_core`, which take it through CrewAI's own engine too."""

import asyncio

import pytest
from crewai_memory_core import contract
from crewai_memory_core.contract import *  # noqa: F403 - this is how the suite is run
from crewai_memory_core.testing import FakeEmbedder

from datastore.bridges.crewai_memory import DataStoreMemory
from tests.bridges.places import ON_SERVERS

assert FakeEmbedder
pytestmark = ON_SERVERS


@pytest.fixture
def backend(data_store):
    return DataStoreMemory(data_store)


# The suite counts with a call that blocks, in a coroutine: the store on a server warns of it, once in a process.
@pytest.mark.filterwarnings("ignore::datastore.BlockingCallWarning")
def test_async_surface(backend):
    asyncio.run(contract.test_async_surface(backend))
