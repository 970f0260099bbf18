"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

from datastore import formats
from datastore.adapters.composed import ComposedBackend
from datastore.adapters.knowledge import Memory
from datastore.adapters.opening import ClosedOnFailure
from datastore.adapters.remembering import REMEMBERED
from datastore.administration import Diagnostic
from datastore.backend import Capabilities, DocumentPage, Fields
from datastore.errors import ConfigurationError, DataStoreError
from datastore_redis.admin import examine
from datastore_redis.client import Session, Settings
from datastore_redis.failures import NAME
from datastore_redis.reading import SCAN_PAGE, Reader
from datastore_redis.removing import Remover
from datastore_redis.scripts import SCRIPTS
from datastore_redis.writing import Records

_BATCH = 1_000


class RedisBackend(ComposedBackend):
    """Records in one database of a Redis server, under one name.

    Requests: 1 for each method of `ComposedBackend`, but: 2 to write a record that is there and not known here; 2 to
        scan up to 100 records with their values, 3 for a page of small ones, and 1 more per 16 MB; 1 per 1,000 accesses
        to count; 2 per 1,000 records to remove, and to purge 1 more for each user who has some, 2 per 1,000 users, and
        1; 2 more to forget a user; 0 for an empty range.
    """

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
        with ClosedOnFailure(self._session):
            self._settle_format()
        memory = Memory()
        self._reader = Reader(self._session, memory)
        self._remover = Remover(self._session, memory, self._reader)
        super().__init__(self._session, Records(self._session), memory, self._reader, self._remover)

    def _settle_format(self) -> None:
        names, session, create = self._session.names, self._session, self._settings.create
        where = f"store {names.name!r}"

        def read() -> int | None:
            found, *_ = session.try_all([("GET", names.format), *(("SCRIPT", "LOAD", one.text) for one in SCRIPTS)])
            if isinstance(found, DataStoreError):
                raise found
            return int(found) if found is not None and found.isdigit() else None

        kind = b""

        def write() -> None:
            if create:
                session.ask(("SET", names.format, formats.FORMAT, "NX"))
            elif kind == b"none":
                raise ConfigurationError(f"there is no {where}, and it may not be made (create=false)", backend=NAME)

        def is_empty() -> bool:
            # Or of this version: no earlier one knew Redis, and after FLUSHALL open stores write on.
            nonlocal kind
            kind = session.ask(("TYPE", names.users))[0]
            return kind in (b"none", b"zset")

        formats.settle(read, is_empty, write, f"the {where}", NAME, earlier=self._settings.earlier_format)

    def users(self, limit: int, after: str | None = None) -> list[str]:
        """See `Backend.users`.

        Requests: 2 per 1,000 users.
        """
        return self._reader.users(limit, after)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 3 per 1,000 users, and those of `scan`.
        """
        return self._reader.scan_all(fields, limit, after)

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
