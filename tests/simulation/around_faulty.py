"""The adapter with one fault at a time in what is kept around the records: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.backend import DONE, Outcome, Put, Write
from datastore.errors import DataStoreError
from tests.simulation.tokens import TokenBackend


class WritesWithoutTheNumber(TokenBackend):
    """A write carries no lease's number, so a holder whose lease was taken over goes on writing."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return super().write([one._replace(fence=None) for one in writes])


class _Unconditional(TokenBackend):
    """Writes some system records whatever is there."""

    part: str
    """What is in the ids of these."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return super().write(
            [
                one._replace(if_absent=False, if_revision=None) if isinstance(one, Put) and self.part in one.id else one
                for one in writes
            ]
        )


class TakesWhatIsTaken(_Unconditional):
    """Two who find a lease free both get it."""

    part = ":leases:"


class WritesOverEntries(_Unconditional):
    """Two who append to a log at the same moment get the same number."""

    part = ":logs%3A"


class KeepsAStepAgain(_Unconditional):
    """A worker that has lost its run writes over what the next one has kept."""

    part = ":runs%3A"


class TakesPartsForStored(TokenBackend):
    """A batch that failed counts as done, so a blob may lack parts."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = super().write(writes)
        return [
            DONE if one.error is not None and ":blobs%3A" in write.id else one
            for one, write in zip(outcomes, writes, strict=True)
        ]


class WritesOverChanges(_Unconditional):
    """Two who add texts at the same moment tell of their vectors under one number: those of one are never read."""

    part = ":vectors%3A"


class TakesVectorsForStored(TokenBackend):
    """A vector that could not be written counts as done, so its text is found by nothing."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        try:
            return super().write(writes)
        except DataStoreError:
            if not all(":vectors%3A" in write.id for write in writes):
                raise
            return [DONE for _ in writes]


FAULTY: dict[str, type[TokenBackend]] = {
    "a lease without fencing": WritesWithoutTheNumber,
    "a lease for two": TakesWhatIsTaken,
    "a log entry written over": WritesOverEntries,
    "a step kept again": KeepsAStepAgain,
    "a blob without its parts": TakesPartsForStored,
    "a change of vectors written over": WritesOverChanges,
    "a text without its vector": TakesVectorsForStored,
}
"""The adapters by what is wrong with them."""
