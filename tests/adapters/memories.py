"""The calls of memory whose requests the tests of each server count."""

from array import array
from collections.abc import Callable

from datastore import AgentDataStore, Item


def calls_of(agent: AgentDataStore) -> dict[str, Callable[[], object]]:
    """Return them in the order in which they are made: each finds what those before it have left."""
    memory = agent.memory
    memory.add("far", key="far", vector=[0.0, 1.0])
    memory.search([1.0, 0.0])
    items = [Item(f"k{number}", number) for number in range(20)]

    return {
        "add": lambda: memory.add("text", key="text", vector=[1.0, 0.5]),
        "search": lambda: memory.search([1.0, 0.0]),
        "search again": lambda: memory.search([1.0, 0.0]),
        "add 20": lambda: memory.add_many(items, vectors=[[1.0, 1.0]] * 20),
        "search with a filter": lambda: memory.search([1.0, 0.0], meta={"key": {"$in": ["text", "far"]}}),
        "edit of the vector": lambda: memory.edit("text", vector=[1.0, 0.7]),
        "edit of metadata": lambda: memory.edit("text", metadata={"a": 1}),
        "get": lambda: memory.get("text"),
        "delete": lambda: memory.delete("text"),
    }


def indexed_calls_of(agent: AgentDataStore) -> dict[str, Callable[[], object]]:
    """Return the calls of a memory whose index is declared, in the order in which they are made."""
    memory = agent.memory
    memory.add_many([Item(f"k{number}", number) for number in range(20)], vectors=[[1.0, n / 9] for n in range(20)])
    memory.ensure_index()

    return {
        "declare": memory.ensure_index,
        "add": lambda: memory.add("text", key="text", vector=[1.0, 0.5]),
        "search": lambda: memory.search([1.0, 0.0], exact=False),
    }


def float32(vector: list[float]) -> bytes:
    """Return a vector as it is stored."""
    return array("f", vector).tobytes()
