"""The calls of memory whose requests the tests of each server count."""

from array import array
from collections.abc import Callable

from datastore import AgentDataStore, Embedder, Item, Splitter
from datastore.scope import scope_of

EMBEDDER = Embedder(lambda texts: [[1.0, len(text)] for text in texts], 2, "length")


def calls_of(agent: AgentDataStore) -> dict[str, Callable[[], object]]:
    """Return them in the order in which they are made: each finds what those before it have left."""
    memory = agent.memory
    memory.add("far", key="far", vector=[0.0, 1.0])
    memory.search([1.0, 0.0])
    agent.set("plain", "text")
    vault = agent.vector_vault("vault")
    vault.add("first")
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
        "embed": lambda: embed(agent, ["plain"]),
        "embed again": lambda: memory.embed(["plain"]),
        "add to a vault": lambda: vault.add("text"),
        "get the vectors of a vault": lambda: vault.get_vectors(),
        "get no vectors of a vault": lambda: vault.get_vectors(),
        "add in parts": lambda: memory.add("one two three. " * 30, key="parts", split=Splitter(16)),
        "search of parts": lambda: memory.search("one two three."),
        "edit in parts": lambda: memory.edit("parts", "four five six. " * 20),
        "search by words": lambda: memory.search("four", keywords=True),
        "search by words again": lambda: memory.search("six", keywords=True),
        "delete of parts": lambda: memory.delete("parts"),
    }


def embed(agent: AgentDataStore, keys: list[str]) -> dict[str, bool]:
    """Make vectors with an embedder that the store has from now on."""
    scope_of(agent).core.root.embedder = EMBEDDER
    return agent.memory.embed(keys)


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
