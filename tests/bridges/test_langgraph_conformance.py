"""The checkpointer, judged by LangGraph's own conformance suite: every capability is declared, and each test passes."""

import asyncio

from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from datastore.bridges.langgraph_checkpoints import DataStoreSaver
from tests.bridges.places import ON_SERVERS


@ON_SERVERS
def test_every_capability_conforms(data_store, place):
    @checkpointer_test(name=f"DataStoreSaver on {place}")
    async def saver():
        yield DataStoreSaver(data_store)

    report = asyncio.run(validate(saver))
    failures = {name: result.failures for name, result in report.results.items() if not result.passed}
    assert failures == {}
    assert set(report.results) == {capability.value for capability in ALL_CAPABILITIES}
    assert sum(result.tests_passed for result in report.results.values()) >= 80
    assert all(not result.tests_skipped for result in report.results.values())
