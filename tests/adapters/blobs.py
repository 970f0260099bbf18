"""The calls of blobs whose requests the tests of each server count."""

from collections.abc import Callable

from datastore import Blobs, DataStore
from datastore.blobs.heads import PART


def calls_of(blobs: Blobs) -> dict[str, Callable[[], object]]:
    """Return them in the order in which they are made: each finds what those before it have left."""
    blobs.put("another", b"")  # with the reminder that the others need as well
    return {
        "put 9 parts": lambda: blobs.put("blob", bytes(9 * PART)),
        "put over it": lambda: blobs.put("blob", b"new"),
        "stat": lambda: blobs.stat("blob"),
        "get": lambda: blobs.get("blob"),
        "open and read": lambda: blobs.open("blob").read(1),
        "list": lambda: blobs.list(),
        "delete": lambda: blobs.delete("blob"),
        "put 9 parts that expire": lambda: blobs.put("blob", bytes(9 * PART), ttl=60),
    }


def purge_beside(store: DataStore, others: int) -> Callable[[], object]:
    """Let a version of one user's blob be due, beside other users of whom none is; return the purge that removes it."""
    for number in range(others):
        agent = store.agent(f"other-{number}", "agent")
        agent.blobs.put("blob", b"content")
        agent.blobs.put("blob", b"other content")
    agent = store.agent(f"one-{others}", "agent")
    agent.blobs.put("blob", b"content", grace=1e-6)
    agent.blobs.put("blob", b"other content", grace=1e-6)

    def purge() -> None:
        assert store.purge_expired() == 1

    return purge
