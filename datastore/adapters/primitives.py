"""The two primitives that an adapter brings, and what else the toolkit asks of it.

The adapter has `Primitives.load` and `Primitives.swap`, and the codec of its documents. The rest is in
`datastore.adapters.writing` and `datastore.adapters.counting`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum

from datastore.adapters.changes import Change, Result, Rules, Sent
from datastore.adapters.knowledge import ABSENT, Known, State
from datastore.backend import Delete, Put, Restore
from datastore.errors import BackendUnavailableError, DataStoreError, ThrottledError


class Counting(Enum):
    """What the counting of accesses begins with."""

    READ = "read"
    """Documents are read first."""
    REMEMBERED = "remembered"
    """What is remembered is good enough; only what is not is read."""
    UNSEEN = "unseen"
    """Nothing is read: the database adds, on the condition that the document was created when the access says, and does
    not know the mark."""


class Primitives(ABC):
    """What the toolkit asks of a database. All methods may be called from many threads at once."""

    name: str
    """The database's name, for errors."""
    rules: Rules = Rules()
    """What deciding goes by."""
    counting: Counting = Counting.READ
    """What counting begins with."""

    @abstractmethod
    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """Return what is known of the documents that exist, as of now, by id.

        Args:
            ids: Without duplicates, and no more than a batch of writes.
            metadata: Whether ``Known.metadata``, and all that the adapter keeps of a document, is needed.
            value: Whether the value is needed as well, in ``Known.source``; it is for the counting of accesses where
                ``rules.replaces_whole``.

        Raises:
            DataStoreError: If the database cannot say of each whether it exists. A document that cannot be decoded is
                no error (`datastore.adapters.knowledge.damaged_one`).
        """

    @abstractmethod
    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """Apply each change to its document if that is still what the change was decided for, atomically.

        Args:
            changes: Of distinct documents; all from writes, or all from accesses.

        Returns:
            For each, in order, that it was applied, that it came too late, or the error for it alone.

        Raises:
            DataStoreError: If one thing can be said of all of them: they failed, and if it is ``retryable``, they may
                have been applied.
        """

    def guess(self, write: Put | Restore | Delete, remembered: State | None, alone: bool) -> State | None:
        """Return what to take a document for without reading it, or ``None`` to read it first.

        By default it is what is remembered; a document that is not is taken for a new one where that makes a change.

        Args:
            write: What is to be done.
            remembered: What is remembered of the document.
            alone: It is the only write of its call.
        """
        if remembered is not None:
            return remembered
        return None if isinstance(write, Delete) or write.if_revision is not None else ABSENT

    def in_doubt(self, error: DataStoreError) -> bool:
        """Return whether a change that failed may have been applied. By default: it was not answered, nor refused."""
        return isinstance(error, BackendUnavailableError) and not isinstance(error, ThrottledError)

    def look_at_once(self, error: DataStoreError) -> bool:
        """Return whether to look at once what became of a change in doubt. The database may be able to answer by now.

        A document remembers its last few writes only, so that a later look may come too late.
        """
        return True

    def was_removed_by(self, id: str, sent: Sent) -> bool:
        """Return whether a document that is gone was removed by a delete whose answer was lost, or by another one.

        By default it is taken for removed by it, since an outage must not look like a missing record.
        """
        return True

    def learned(self, id: str, existed: bool) -> None:  # noqa: B027 - a hook, which most adapters have no use for
        """Take note of whether a document exists of which nothing was remembered. By default nothing is done."""
