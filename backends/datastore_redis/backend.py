"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from collections.abc import Sequence

from datastore import formats
from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
from datastore.adapters.remembering import REMEMBERED
from datastore.adapters.writing import Writer
from datastore.administration import Diagnostic
from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    Document,
    DocumentPage,
    Fields,
    Forgotten,
    IdRange,
    Outcome,
    Restore,
    Write,
)
from datastore.errors import ConfigurationError, DataStoreError
from datastore.ids import EVERYTHING
from datastore_redis.admin import examine
from datastore_redis.client import Session, Settings
from datastore_redis.failures import NAME
from datastore_redis.reading import SCAN_PAGE, Reader
from datastore_redis.removing import Remover
from datastore_redis.scripts import SCRIPTS
from datastore_redis.writing import Records

_BATCH = 1_000


class RedisBackend(Backend):
    """Records in one database of a Redis server, under one name."""

    name = NAME
    capabilities = Capabilities(
        read_batch=_BATCH,
        write_batch=_BATCH,
        scan_page=SCAN_PAGE,
        persistent=True,
        shared=True,
        remembered_writes=REMEMBERED,
        parsed_values=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Connect, and see that the store has the format of this version.

        Raises:
            ConfigurationError: If there is no store and none may be made, or it has an earlier format.
            BackendUnusableError: If a newer version has written it.
            PermissionDeniedError: If the server refuses the credentials.
            BackendUnavailableError: If it does not answer.

        Requests: 1; 2 more the first time.
        """
        self._settings = settings
        self._session = Session(settings)
        try:
            self._settle_format()
        except BaseException:
            self._session.close()
            raise
        memory = self._memory = Memory()
        records = Records(self._session)
        self._writer = Writer(records, memory)
        self._counter = Counter(records, memory, _BATCH)
        self._reader = Reader(self._session, memory)
        self._remover = Remover(self._session, memory, self._reader)

    def _settle_format(self) -> None:
        names, session, create = self._session.names, self._session, self._settings.create
        where = f"store {names.name!r}"

        def read() -> int | None:
            found, *_ = session.try_all([("GET", names.format), *(("SCRIPT", "LOAD", one.text) for one in SCRIPTS)])
            if isinstance(found, DataStoreError):
                raise found
            return int(found) if found is not None and found.isdigit() else None

        def write() -> None:
            if not create:
                raise ConfigurationError(f"there is no {where}, and it may not be made (create=false)", backend=NAME)
            session.ask(("SET", names.format, formats.FORMAT, "NX"))

        def is_empty() -> bool:
            return not session.ask(("EXISTS", names.users))[0]

        formats.settle(read, is_empty, write, f"the {where}", NAME, earlier=self._settings.earlier_format)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`.

        Requests: 1.
        """
        return self._reader.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`.

        Requests: 1 for a record that this process knows or that is new, otherwise 2.
        """
        return self._writer.write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1 for `Fields.KEY`; otherwise 2 for up to 100 records, 3 for a page of small ones, and 1 more per 16
            MB; 0 for an empty range.
        """
        return self._reader.scan(range, fields, limit, after, reverse=reverse)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`.

        Requests: 1 per 1,000 records.
        """
        self._counter.record(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._session.close()

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`.

        Requests: 1.
        """
        return self._reader.namespaces(range, at)

    def users(self, limit: int, after: str | None = None) -> list[str]:
        """See `Backend.users`.

        Requests: 2 per 1,000 users.
        """
        return self._reader.users(limit, after)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`.

        Requests: 1.
        """
        return self._reader.count(range, at)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`.

        Requests: 2 per 1,000 records.
        """
        return self._remover.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`.

        Requests: 2 per 1,000 records, and 2.
        """
        return self._remover.forget(range, at)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`.

        Requests: 2 per 1,000 expired records of a user, and 1; for all users as much for each, and 1 per 1,000 users.
        """
        return self._remover.purge(at, range)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1 per 1,000 users, 1 for each user of whom the page has records, and those of `scan`.
        """
        return self._reader.scan_all(fields, limit, after)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 1,000 records; 1 more if some of them exist already.
        """
        return self._writer.write(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`.

        Requests: 1.
        """
        return examine(self._session, now)

    def drop(self) -> None:
        """See `Backend.drop`.

        Requests: those of `forget` for each user, and 1 per 1,000 users.
        """
        self._remover.drop()
        self.close()

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._session.after_fork()
        self._memory.clear()
        self._writer.after_fork()
        self._counter.after_fork()
