"""The two primitives that an adapter provides, and what else the toolkit asks of it.

The adapter has `Primitives.load`, `Primitives.swap` and the codec of its documents. The rest is in
`datastore.adapters.writing` and `datastore.adapters.counting`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum

from datastore.adapters.changes import Change, Result, Rules, Sent
from datastore.adapters.knowledge import ABSENT, Known, State
from datastore.backend import Delete, Outcome, Put, Restore, Touch
from datastore.errors import BackendUnavailableError, DataStoreError, ThrottledError


class Counting(Enum):
    """What the counting of accesses starts from."""

    READ = "read"
    """From documents that are read first."""
    REMEMBERED = "remembered"
    """From what is remembered; only documents that are not remembered are read."""
    UNSEEN = "unseen"
    """From nothing: the database adds, on the condition that the document was created at the time that the access
    names, and does not have the mark."""


class RefusedForNowError(BackendUnavailableError):
    """The database has not carried out a request, and may do so later."""


class Primitives(ABC):
    """What the toolkit asks of a database. All methods may be called from many threads at once."""

    name: str
    """The database's name, for errors."""
    rules: Rules = Rules()
    """What deciding about writes depends on."""
    counting: Counting = Counting.READ
    """What counting starts from."""
    counts_apart: bool = False
    """Whether counting leaves a document's token as it is. What is known of the document then stays known."""

    @abstractmethod
    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """Return what is known of the documents that exist, by id, as of now.

        Args:
            ids: Without duplicates, and no more than one batch of writes.
            metadata: Whether ``Known.metadata`` is needed, and everything else that the adapter stores with a document.
            value: Whether ``Known.source`` needs the value too. This is for counting accesses if
                ``rules.replaces_whole``.

        Raises:
            DataStoreError: If the database cannot say of each document whether it exists. A document that cannot be
                decoded is not an error (`datastore.adapters.knowledge.damaged_one`).
        """

    @abstractmethod
    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """Apply each change atomically, if its document is still in the state that the change was decided for.

        Args:
            changes: Changes of distinct documents. They all come from writes, or all from accesses.

        Returns:
            For each change, in order, `Applied`, `Late`, or the error for it alone.

        Raises:
            DataStoreError: If all changes failed for the same reason. If the error is ``retryable``, they may have been
                applied.
        """

    def guess(self, write: Put | Restore | Delete | Touch, remembered: State | None, alone: bool) -> State | None:
        """Return the state to assume for a document without reading it, or ``None`` to read it first.

        By default that is the remembered state. A document that is not remembered is assumed not to exist if the write
        would then be a change.

        Args:
            write: The write.
            remembered: What is remembered of the document.
            alone: Whether it is the only write of its call.
        """
        if remembered is not None:
            return remembered
        if isinstance(write, Delete | Touch) or write.if_revision is not None:
            return None
        return ABSENT

    def in_doubt(self, error: DataStoreError) -> bool:
        """Return whether a change that failed may have been applied. By default: if it was not answered."""
        return isinstance(error, BackendUnavailableError) and not isinstance(error, ThrottledError | RefusedForNowError)

    def look_at_once(self, error: DataStoreError) -> bool:
        """Return whether to find out at once what became of a change in doubt: the database may be able to answer now.

        A document remembers only its last few writes, so a later look may come too late.
        """
        return True

    def was_removed_by(self, id: str, sent: Sent) -> bool | None:
        """Return whether a document that is gone was removed by the given delete, whose answer was lost.

        By default it is not known: ``None``. Then the delete is taken to have removed it, since an outage must not look
        like a missing record, unless the delete must be certain of that (`Delete.certain`).
        """
        return None

    def completed(self, writes: Sequence[Put | Restore | Delete | Touch], outcomes: list[Outcome]) -> list[Outcome]:
        """Do what belongs to writes that are done, and return the outcomes, in order. By default that is nothing.

        One that cannot be completed fails with an error. If that is ``retryable``, the write is sent again, and what
        was known of it is still known.
        """
        return outcomes

    def learned(self, id: str, existed: bool) -> None:  # noqa: B027 - a hook that most adapters do not need
        """Note whether a document of which nothing was remembered exists. By default this does nothing."""
