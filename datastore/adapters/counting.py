"""Counting accesses over `load` and `swap`: in few requests, and never twice.

A request whose answer was lost may have counted. So each attempt has a mark, which the document keeps among the marks
of its last counts (`datastore.adapters.remembering`). The attempt is sent again with the same number and the same mark.
Of all its copies that arrive, only one can be applied.

If a call raises, the store passes its accesses again, together with newer ones. So until a call succeeds, it is
remembered how many accesses of each document such calls have counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datastore.adapters.changes import Applied, Change, Late, Result
from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.knowledge import ABSENT, UNSEEN, Known, Memory, State, Unseen
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import new_mark, remember, remembers
from datastore.backend import DONE, Access
from datastore.errors import DataStoreError
from datastore.turns import Turns, keep_newest

logger = logging.getLogger("datastore")

SECONDS = 10.0
"""How many seconds one call keeps trying against other writers of the same documents."""
_COUNTED = Applied()
MOST_OPEN = 20_000
"""The most documents for which open accesses are remembered."""


class Account(NamedTuple):
    """The accesses of one document that are open, until a call that was given them succeeds."""

    created_at: str
    counted: int = 0
    """How many of the accesses are counted."""
    sent: int = 0
    """How many were sent and may or may not be counted."""
    mark: str = ""
    """The mark of what was sent."""


class Counter:
    """Counts accesses of documents over `Primitives`.

    Args:
        primitives: The database.
        memory: What is known of documents. It is shared with the `datastore.adapters.writing.Writer`.
        batch: The most documents to count at once.
        most_open: The most documents for which open accesses are remembered.
    """

    def __init__(self, primitives: Primitives, memory: Memory, batch: int = 1_000, most_open: int = MOST_OPEN) -> None:
        self._primitives = primitives
        self._memory = memory
        self._batch = batch
        self._most_open = most_open
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what the parent has to finish."""
        self._turns = Turns("counting accesses")
        self.accounts: dict[str, Account] = {}

    def record(self, accesses: Sequence[Access]) -> None:
        """Count accesses; see `Backend.record_access`.

        If other writers or an outage prevent this, no access is lost: the call raises, and when the same accesses are
        passed again, it knows which are counted.

        Raises:
            DataStoreError: If not all accesses are counted.

        Requests: one `Primitives.swap` for each batch of documents, and before it one `Primitives.load` if they must be
            read.
        """
        with self._turns.take():
            for start in range(0, len(accesses), self._batch):
                self._record({access.id: access for access in accesses[start : start + self._batch]})
            for access in accesses:  # all of them are done, and none will be passed again
                self.accounts.pop(access.id, None)

    def _record(self, pending: dict[str, Access]) -> None:
        pauses, late = contention(SECONDS), False
        states = self._begin(pending.values())
        lost: DataStoreError | None = None
        while True:
            problem: DataStoreError | None = None
            try:
                self._look(pending, states)
            except DataStoreError as error:
                if lost is not None or self._primitives.counting is not Counting.UNSEEN:
                    raise error if lost is None else lost  # noqa: B904 - the earlier error has its own cause
                problem = error  # the read was refused just now; most often the next one works
            else:
                # Of what nobody has looked at, nothing is done before it is sent: most calls need no closer look.
                if self.accounts or set(map(type, states.values())) != {Unseen}:
                    for id, access in list(pending.items()):
                        if self._is_done(access, states[id]):
                            del pending[id]
                    if not pending:
                        return
                problem = self._count(pending, states)
                if not pending:
                    return
            if problem is not None and (lost is not None or not self._may_tell(problem)):
                raise problem  # the store passes the accesses again with its next flush
            lost = problem
            if problem is None and not late:  # others came first; the time spent waiting for answers does not count
                pauses, late = contention(SECONDS), True
            if not pauses.wait():
                raise lost or came_too_late(self._primitives.name, SECONDS)

    def _begin(self, accesses: Iterable[Access]) -> dict[str, State]:
        """Return the states that need not be read."""
        if self._primitives.counting is Counting.UNSEEN:
            return {access.id: UNSEEN for access in accesses}
        states: dict[str, State] = {}
        if self._primitives.counting is Counting.REMEMBERED:
            for access in accesses:
                known = self._memory.get(access.id)
                account = self.accounts.get(access.id)
                if (
                    isinstance(known, Known)
                    and known.created_at == access.created_at
                    and not (account is not None and account.sent)
                ):
                    states[access.id] = known
        return states

    def _look(self, pending: Iterable[str], states: dict[str, State]) -> None:
        """Read the documents whose state is not known."""
        unknown = [id for id in pending if id not in states]
        if unknown:
            whole = self._primitives.rules.replaces_whole
            found = self._primitives.load(unknown, metadata=whole, value=whole)
            for id in unknown:
                states[id] = found.get(id, ABSENT)
                self._memory.note(id, states[id])

    def _is_done(self, access: Access, state: State) -> bool:
        """Return whether nothing is left to count: all is counted, or the document of the access no longer exists."""
        account = self._account(access)
        if not isinstance(state, Unseen):
            if not isinstance(state, Known) or state.damaged or state.created_at != access.created_at:
                self.accounts.pop(access.id, None)
                return True
            if account.sent and remembers(state.counts, account.mark):
                account = Account(account.created_at, account.counted + account.sent)
                self._keep(access.id, account)
        return access.number <= account.counted

    def _count(self, pending: dict[str, Access], states: dict[str, State]) -> DataStoreError | None:
        """Send what is to be counted, remove what is done from ``pending``, and return the error for the rest."""
        before: dict[str, Account] = {}
        accounts: dict[str, Account] = {}
        mark = new_mark()
        is_first = self.accounts.keys().isdisjoint(pending)
        # They are kept before they are sent, because an interrupt may come.
        if is_first:  # nearly always, and then there is nothing to go by
            accounts = {id: Account(access.created_at, 0, access.number, mark) for id, access in pending.items()}
            self._keep_all(accounts)
        else:
            for id, access in pending.items():
                account = before[id] = self._account(access)
                if not account.sent:
                    account = Account(access.created_at, account.counted, access.number - account.counted, mark)
                    self._keep(id, account)
                accounts[id] = account
        changes = [_change(access, states[id], accounts[id]) for id, access in pending.items()]
        refused = False
        results: Sequence[Result]
        try:
            results = self._primitives.swap(changes)
        except DataStoreError as error:
            refused, results = True, [error] * len(changes)
        if is_first and self._is_all_told(results):
            self._keep_all({id: Account(access.created_at, access.number) for id, access in pending.items()})
            pending.clear()
            return None
        problem: DataStoreError | None = None
        for (id, account), change, result in zip(accounts.items(), changes, results, strict=True):
            if isinstance(result, Applied):
                account = Account(account.created_at, account.counted + account.sent)
                self._keep(id, account)
                after = self._applied(change, result)
                if account.counted >= pending[id].number:
                    del pending[id]
                elif after is not None and not self._primitives.rules.replaces_whole:
                    states[id] = after
                else:  # a document that is replaced as a whole must be read
                    states.pop(id)
                continue
            self._memory.forget(id)
            states.pop(id)
            if isinstance(result, Late):
                self._keep(id, before.get(id, Account(account.created_at)))
                if result.found is not None:
                    states[id] = result.found
            elif self._primitives.in_doubt(result):
                problem = result
                if isinstance(change.over, Unseen):  # sent again, it finds out whether its mark is there
                    states[id] = UNSEEN
            else:
                self._keep(id, before.get(id, Account(account.created_at)))
                if refused or result.retryable:
                    problem = result
                else:
                    logger.warning("lost the access count of a record: %s", result.message)
                    self.accounts.pop(id, None)
                    del pending[id]
        return problem

    def _is_all_told(self, results: Sequence[Result]) -> bool:
        """Return whether all changes were applied, and what is remembered of the documents stays as it is."""
        primitives = self._primitives
        if not primitives.counts_apart or primitives.counting is not Counting.UNSEEN:
            return False
        return results.count(_COUNTED) == len(results)

    def _applied(self, change: Change, result: Applied) -> State | None:
        """Note what is stored now, and return it if it is known."""
        after = result.after
        if after is None and isinstance(change.after, Known):
            after = change.after.with_token(result.token)
        if after is None:
            if not self._primitives.counts_apart:
                self._memory.forget(change.id)
            return change.over if isinstance(change.over, Unseen) else None
        self._memory.note(change.id, after)
        return after

    def _account(self, access: Access) -> Account:
        account = self.accounts.get(access.id)
        return (
            account if account is not None and account.created_at == access.created_at else Account(access.created_at)
        )

    def _keep(self, id: str, account: Account) -> None:
        self.accounts.pop(id, None)
        if account.counted or account.sent:
            self._keep_all({id: account})

    def _keep_all(self, accounts: dict[str, Account]) -> None:
        self.accounts.update(accounts)
        keep_newest(self.accounts, self._most_open)

    def _may_tell(self, error: DataStoreError) -> bool:
        """Return whether to find out at once, by a read or by sending it again, whether something sent was counted."""
        primitives = self._primitives
        if not primitives.in_doubt(error):
            return False
        return primitives.counting is Counting.UNSEEN or primitives.look_at_once(error)


def _change(access: Access, state: State, account: Account) -> Change:
    """Return the change that counts what the account says was, or is to be, sent."""
    number, mark = account.sent, account.mark
    after: Known | None = None
    if isinstance(state, Known):
        latest = access.at >= (state.last_accessed_at or "")
        after = state._replace(
            counts=remember(state.counts, mark),
            access_count=state.access_count + number,
            last_accessed_by_agent=access.agent if latest else state.last_accessed_by_agent,
            last_accessed_at=access.at if latest else state.last_accessed_at,
            source=None,
        )
    one = access if access.number == number else access._replace(number=number)
    return Change(one, state, after, DONE, live=True, marks=(mark,))
