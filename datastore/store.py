"""The object that a host holds: one open backend, shared by all its users and agents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, cast, get_args

from datastore.access import Tracking
from datastore.agent import AgentDataStore
from datastore.arguments import as_bool, as_number, as_text, check_name, elements, is_a, shown
from datastore.backend import Backend, Capabilities, Delete, Fields, Forgotten
from datastore.calls.listings import most
from datastore.core import Core
from datastore.documents import living, skip
from datastore.errors import (
    ConfigurationError,
    DataStoreError,
    InvalidNameError,
    NotPicklableError,
    QueryError,
    UnsupportedError,
    kind_of,
)
from datastore.frozen import NamedTuple
from datastore.ids import (
    EVERYTHING,
    IdRange,
    after_user,
    beginning_with,
    check_agent,
    decode_name,
    encode_name,
    is_id,
    is_system,
    namespace_range,
    system_range,
)
from datastore.scope import Scope

if TYPE_CHECKING:
    from datastore.asynchronous.store import AsyncDataStore
    from datastore.events import CallEvent, Telemetry
    from datastore.grants import Grant
    from datastore.memory import Embedder
    from datastore.quotas import Quota
    from datastore.record import Record
    from datastore.tokens import Tokens

_USERS = 1_000  # users asked for at once
_MOST = 1e9
"""All numeric options must be below this: as seconds it is 31 years, as records a thousand million."""


class Health(NamedTuple):
    """What `DataStore.health` has found.

    Attributes:
        ok: Whether the database answers.
        backend: The name of the backend.
        latency: How long it took to read one record, in seconds; ``None`` if the database does not answer.
        error: What is wrong; ``None`` if nothing is. It names no secret, but may name a host or a file.
    """

    ok: bool
    backend: str
    latency: float | None
    error: str | None


class DataStore:
    """One store on one database. Thread-safe; a context manager; `datastore.connect` makes it.

    A store that nobody closes is closed when it and its agents are collected, or when the interpreter exits. After a
    fork it goes on working in both processes.

    Args:
        backend: The open adapter; closing the store closes it.
        tracking: ``"deferred"`` counts accesses in memory and writes the counts in the background, ``"immediate"``
            writes each access at once, ``"off"`` does not count.
        flush_interval: Seconds between two writes of the counts. By default what suits the database: 1; on DynamoDB and
            Firestore, which bill writes, 60, and a record that was read fewer than 100 times waits up to ten minutes.
            What is given here holds for every record.
        max_pending: Records with unwritten counts at which they are written before the interval is over. By default
            1,000; on DynamoDB and Firestore 10,000.
        retry_seconds: How long one call repeats what fails for a transient reason before it raises.
        max_seconds: How long one call of an agent may take in all, its retries included; a stream (`iter_records`, a
            copy, an export) as long for each page. What takes longer raises `DeadlineExceededError`. Administration
            (`ensure_index`, `purge_expired`, `drop_tenant`) takes as long as the database does.
        clock: Returns seconds since the epoch; expiry and all times follow it. For tests.
        warn_on_loop: Whether the first call that blocks a running event loop is a `BlockingCallWarning`, where the
            database is asked over a network.
        on_call: Called with a `CallEvent` after each call of an agent, in the thread that has made the call; an awaited
            call on its event loop. So it must be quick, and several threads may call it at once. What it raises is
            logged once, and does not affect the call. Calls that it makes itself are told to nobody.
            ``datastore.audit`` logs each call as a line of JSON.
        telemetry: Whether each call is a span of OpenTelemetry, and is measured. ``True`` uses the providers of the
            process, also if they are set later; a `Telemetry` names others.
        embedder: What makes vectors of texts for ``data_store.memory``: an `Embedder`.

    Raises:
        ConfigurationError: If one of them is out of range, or OpenTelemetry is asked for and not installed.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        tracking: Tracking = "deferred",
        flush_interval: float | None = None,
        max_pending: int | None = None,
        retry_seconds: float = 10.0,
        max_seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
        warn_on_loop: bool = True,
        on_call: Callable[[CallEvent], object] | None = None,
        telemetry: bool | Telemetry = False,
        embedder: Embedder | None = None,
    ) -> None:
        if not issubclass(type(backend), Backend):
            raise ConfigurationError(f"backend is {kind_of(backend)}; give an adapter's, or use datastore.connect()")
        if not is_a(tracking, str) or as_text(tracking) not in get_args(Tracking):
            choices = ", ".join(map(repr, get_args(Tracking)))
            raise ConfigurationError(f"tracking is {shown(tracking)}; it must be one of {choices}")
        if flush_interval is not None:
            flush_interval = number_of("flush_interval", flush_interval, minimum=0.001)
        if max_pending is not None:
            max_pending = int(number_of("max_pending", max_pending, minimum=1))
        retry_seconds = number_of("retry_seconds", retry_seconds, minimum=0)
        max_seconds = check_seconds(max_seconds)
        if not callable(clock):
            raise ConfigurationError(f"clock is {kind_of(clock)}; it must be a function such as time.time")
        self._core = Core(
            backend,
            tracking=cast(Tracking, as_text(tracking)),
            flush_interval=flush_interval,
            max_pending=max_pending,
            retry_seconds=retry_seconds,
            max_seconds=max_seconds,
            clock=clock,
            warn_on_loop=as_bool(warn_on_loop, "warn_on_loop"),
        )
        if embedder is not None:
            from datastore.memory.embedding import Embedder  # imported here, because few need it

            if type(embedder) is not Embedder:
                raise ConfigurationError(f"embedder is {kind_of(embedder)}; give a datastore.Embedder")
            self._core.embedder = embedder
        self._tenants = backend if backend.capabilities.supports("database") else None
        if on_call is not None or telemetry is not False:
            from datastore.watching import watch  # imported here, because few watch

            watch(self._core, on_call, telemetry)

    @property
    def backend(self) -> Backend:
        """The open adapter: for what its database has and the store does not show. Its ``name`` is the database's."""
        return self._core.backend

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter promises: a `Capabilities`."""
        return self._core.backend.capabilities

    @property
    def asynchronous(self) -> AsyncDataStore:
        """The same store, with calls that are awaited: an `AsyncDataStore`. Closing either of them closes both."""
        from datastore.asynchronous.store import AsyncDataStore  # imported here, because few need asyncio

        return AsyncDataStore(self)

    def agent(
        self,
        user_id: str,
        agent: str,
        namespace: str = "default",
        *,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
    ) -> AgentDataStore:
        """Bind a store for one agent of one user. It makes no request: bind one for each run of an agent.

        Args:
            user_id: Whose data it is: 1 to 255 bytes of UTF-8. The agent cannot leave it.
            agent: Who acts: the name that provenance shows.
            namespace: The namespace of its keys, until `AgentDataStore.use_namespace` is called.
            grants: What it may do, by namespace: ``{"shared/*": "read", "mine": "write"}``. A star at the end stands
                for all that begin alike. ``"write"`` includes reading. If several patterns match, the longest one
                counts, so ``{"*": "write", "log": "read"}`` leaves the log alone. Every other namespace is refused
                with `PermissionDeniedError` before any request, and no listing shows it. ``None`` for everything in
                all namespaces.
            quota: How much it may store: ``datastore.Quota(records=1_000, bytes=10_000_000)``. A write that would
                exceed it raises `QuotaExceededError`. ``None`` for any amount.

        Returns:
            The store that the agent gets.

        Raises:
            InvalidNameError: If one of the three is not a valid name, or with ``isolation="database"`` if the user id
                is too long for the name of a database. Also for a namespace in ``grants``.
            ConfigurationError: If ``grants`` is not such a dict, or ``quota`` not a `Quota`.

        Requests: 0. With a quota each write makes 1 more than without, and the first one for a user and agent those
        that list what the user has.
        """
        return self._bound(user_id, check_agent(agent), namespace, grants, quota)

    def _bound(
        self,
        user_id: str,
        agent: str | None,
        namespace: str,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
    ) -> AgentDataStore:
        core = self._core
        if quota is not None and getattr(quota, "calls_per_minute", None) is not None:
            raise ConfigurationError("calls_per_minute is for tokens: only a server (`datastore serve`) counts calls")
        if grants is not None or quota is not None:
            from datastore.guarded import guarded  # imported here, because few give an agent limits

            core = guarded(core, user_id, agent or "", grants, quota)
        if core.watcher is None:
            data_store = AgentDataStore(Scope(core, user_id, agent, namespace))
        else:
            from datastore.watching import bound  # imported here, because few watch

            data_store = bound(core, user_id, agent, namespace)
        if self._tenants is not None:
            self._tenants.database(data_store.user_id)  # raises if the id is too long for the name of a database
        return data_store

    def host(self, user_id: str, namespace: str = "default") -> AgentDataStore:
        """Bind a store for the host itself: to look at a user's data, mend it or report about it.

        It can do what an agent's can. But it is no agent: what it reads is not counted, and what it writes is said to
        be by ``""``, which no agent can be called.

        Args:
            user_id: Whose data it is.
            namespace: The namespace of its keys, until `AgentDataStore.use_namespace` is called.

        Raises:
            InvalidNameError: As `agent`.

        Requests: 0.
        """
        return self._bound(user_id, None, namespace)

    @property
    def tokens(self) -> Tokens:
        """What to hand out instead of a password: makes, lists and ends `Tokens`. For the host alone."""
        from datastore.tokens import Tokens  # imported here, because few need it

        return Tokens(self._core)

    def users(self, *, prefix: str | None = None, after: str | None = None, limit: int | None = None) -> Iterator[str]:
        """Yield the ids of the users that have records, perhaps only expired ones. For the host alone.

        The order is the database's own, and always the same. A user who comes or goes meanwhile may be missing.

        Args:
            prefix: Only the users whose ids begin with it.
            after: Only the users that follow this one, who need not have records any more.
            limit: The most users; ``None`` for all of them. With ``after`` a long list is read page by page.

        Raises:
            InvalidNameError: If ``prefix`` or ``after`` is not a valid name.
            QueryError: If ``limit`` is below 1.

        Requests: 1 or 2 more than users are taken; with ``isolation="database"`` those of `tenants`, and 1 for each
        user. DynamoDB 1 for each, or fewer; Redis 2 per 1,000. These three order users in another way, and look at
        all of them for those with a ``prefix``.
        """
        encoded = None if after is None else encode_name(check_name(after, "after"), "after")
        beginning = check_name("" if prefix is None else prefix, "prefix")
        beginning = encode_name(beginning, "prefix") if beginning else ""
        number = None if limit is None else most(limit)
        return islice(map(decode_name, _users(self._core, beginning, encoded, number)), number)

    def records(self) -> Iterator[Record]:
        """Yield the records of all users, for reports. For the host alone. No access is counted.

        The order is the database's own. One page of the database is in memory at a time. For those of one user use
        ``host(user_id).iter_records(namespace_prefix="")``.

        Raises:
            UnsupportedError: If the backend cannot list them.

        Requests: 1 per page of the database.
        """
        from datastore.record import to_record  # imported here, because importing Pydantic takes long

        core = self._core
        backend, after = core.backend, None
        if not backend.capabilities.supports("all_documents"):
            core.check_open()
            raise UnsupportedError("this backend cannot list the records of all users", backend=backend.name)
        while True:
            read = partial(backend.all_documents, Fields.ALL, backend.capabilities.scan_page, after)
            page = living(core.page(read, Fields.ALL), core.now())
            for error in page.damaged:
                skip(error)
            for document in page.documents:
                if is_id(document.id):
                    yield to_record(document)
                    core.check_open()
            if page.after is None:
                return
            after = page.after

    def health(self, *, max_seconds: float = 2.0) -> Health:
        """Look whether the database answers. An outage is reported, without secrets, and not raised.

        For the health check of a host: unlike other calls it does not wait for the database to come back.

        Args:
            max_seconds: How long it may take. A database that has not answered by then does not.

        Returns:
            A `Health`, a named tuple: ``ok``, whether the database answers; ``backend``, its name; ``latency``, the
            seconds that reading one record took, and ``error``, the message. What is not known is ``None``.

        Raises:
            ConfigurationError: If ``max_seconds`` is out of range.

        Requests: 1; 2 if the first one fails for a transient reason.
        """
        seconds, core = check_seconds(max_seconds), self._core
        try:
            return Health(True, core.backend.name, core.probe(seconds), None)
        except DataStoreError as error:
            return Health(False, core.backend.name, None, str(error))

    def flush(self) -> None:
        """Write the accesses counted so far.

        Needed only to see them at once in the database itself, or from another process.

        Raises:
            BackendUnavailableError: If the database does not answer; the counts are kept.

        Requests: for each 1,000 records that were read, however often: SQLite 1, CouchDB and Firestore 2, DynamoDB 10
        to 40.
        """
        self._core.flush()

    def purge_expired(self, user_id: str | None = None) -> int:
        """Remove the expired records of all users, and parts of blobs and vectors that nobody needs, for their space.

        Nobody sees an expired record anyway, nor what is left of a blob that was replaced or deleted, or whose `put`
        was interrupted, nor the vector of a record that was replaced or removed more than an hour ago.

        Args:
            user_id: Only those of this user.

        Returns:
            How many records there were, how many versions of blobs, and how many vectors.

        Raises:
            UnsupportedError: If the database reclaims expired records by itself (DynamoDB), and nobody ever had blobs
                or vectors.

        Requests: SQLite 1; CouchDB and Firestore those that list the expired records and delete them; Redis also 2 per
        1,000 users. 1 more per page of the namespaces in which blobs or vectors are to be removed, and 1 to 4 for each
        100 of these; for each one with blobs 1 per page of what is to be removed now or later, 2 for each 100 that are
        due, and those that remove them; for each one with vectors 1, 1 per page of these, and 1 for each 100. What
        other users and namespaces have costs nothing. With ``user_id`` and ``isolation="database"`` each namespace with
        blobs or vectors is looked at, and 3 more for each user.
        """
        if user_id is not None:
            return self.host(user_id).purge_expired()
        from datastore.purging import purge  # imported here, because few need it

        return purge(self._core, scopes_of_tenants(self))

    def forget(self, user_id: str) -> Forgotten:
        """Remove everything that is stored of a user, in all namespaces, for good.

        That means live records, expired and damaged ones, what interrupted writes have left, and the tokens for this
        user; with ``isolation="database"`` the user's database as well. Documents that another program wrote, which
        have no revision, stay. So may records that others write for this user in the meantime. It takes as long as the
        database does.

        Args:
            user_id: Whose data to remove.

        Returns:
            A named tuple: how many ``records`` and how many ``expired`` ones there were.

        Raises:
            InvalidNameError: If ``user_id`` is not a valid name.

        Requests: those to read the ids, and per 1,000 documents 1 on CouchDB, per 500 on Firestore, per 25 on DynamoDB;
        on SQLite 2 statements. For the system records beside them (leases, accounts) as many again, mostly an empty
        listing; 1 for reminders of blobs and vectors; and those of `Tokens.list` and of deleting the user's tokens.
        """
        from datastore.reminders import forget  # imported here, because few need it
        from datastore.tokens import end_all

        core = self._core
        encoded = encode_name(check_name(user_id, "user_id"), "user_id")
        core.check_open()
        end_all(core, as_text(user_id))  # first: with one of them somebody could go on storing
        forgotten = _forget(core, namespace_range(encoded, None))
        if self._tenants is None:
            forget(core, encoded)
            _forget(core, system_range(encoded))  # these are not the user's records, so they do not count
        else:
            tenants = self._tenants
            core.call("dropping the database of a user", lambda: tenants.drop_tenant(as_text(user_id)))
        core.ends.clear()
        return forgotten

    def ensure_index(self, fields: Sequence[str], namespace: str | None = None) -> str:
        """Declare an index on fields of the values, so that a `find` on them need not look at every record.

        An index changes no answer. Call it at every start: where the index is there already, nothing happens.

        Args:
            fields: Paths into the value, such as ``["status"]`` or ``["address.city", "age"]``.
            namespace: The namespace that it is for; ``None`` for all namespaces of all users.

        Returns:
            The name of the index, as `AgentDataStore.explain` shows it when it is in use.

        Raises:
            QueryError: If one of the fields is not a path or is there twice, or if no field is given.
            InvalidNameError: If ``namespace`` is not a valid name.
            UnsupportedError: If the database has no such indexes.
            PermissionDeniedError: If this user may not create one.

        Requests: 1, for as long as the database takes to build the index (CouchDB and PostgreSQL 4; 0 if this store
        knows it already).
        """
        from datastore.queries.paths import parse_path

        named = elements(fields) if is_a(fields, list, tuple) else []
        if not named:
            raise QueryError(f"fields is {kind_of(fields)}; it must be a list of paths such as ['address.city']")
        paths = [parse_path(path, f"fields[{index}]") for index, path in enumerate(named)]
        if len(set(paths)) < len(paths):
            raise QueryError("fields names a path twice")
        encoded = None if namespace is None else encode_name(namespace, "namespace")
        backend = self._core.backend
        if not backend.capabilities.supports("ensure_index"):
            self._core.check_open()
            raise UnsupportedError(
                "this database has no indexes on fields of values; a find reads the namespace, page by page",
                backend=backend.name,
            )
        return self._core.call("declaring an index", lambda: backend.ensure_index(paths, encoded))

    def tenants(self) -> list[str]:
        """Return the user ids that have a database of their own, sorted. Needs ``isolation="database"``.

        Raises:
            UnsupportedError: If tenants share one database.

        Requests: 1, or 1 per page of the database; on SQLite it reads the directory.
        """
        return self._core.call("listing tenants", self._separated().tenants)

    def drop_tenant(self, user_id: str, *, confirm: str) -> bool:
        """Remove the database of one tenant with everything in it. Only a backup brings it back.

        It needs ``isolation="database"``. Calls that use the database at the same time raise `ClosedError`. The next
        use of the tenant begins a new database; other processes that had the old one open must connect again.

        Args:
            user_id: Whose database it is.
            confirm: The user id once more.

        Returns:
            Whether there was one.

        Raises:
            InvalidNameError: If ``confirm`` is not the same as ``user_id``.
            UnsupportedError: If tenants share one database.

        Requests: CouchDB 2, DynamoDB 2 or more until the table is gone, Firestore 2 per 500 documents; on SQLite it
        removes the files.
        """
        tenants = self._separated()
        user_id = check_name(user_id, "user_id")
        encode_name(user_id, "user_id")
        if check_name(confirm, "confirm") != user_id:
            raise InvalidNameError(
                f"confirm is {shown(as_text(confirm))}; to drop the tenant {user_id!r} it must be the same"
            )
        return self._core.call(f"dropping tenant {user_id!r}", lambda: tenants.drop_tenant(user_id))

    def _separated(self) -> Backend:
        self._core.check_open()
        if self._tenants is None:
            raise UnsupportedError(
                "tenants share one database here; connect with isolation='database' for one each",
                backend=self.backend.name,
            )
        return self._tenants

    def close(self) -> None:
        """Write the pending access counts and close the backend.

        Closing again does nothing; any other call raises `ClosedError`.
        """
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("DataStore", "call datastore.connect() in the other process")

    def __repr__(self) -> str:
        from datastore.reading import ReadOnlyBackend

        core = self._core
        state = ", closed" if core.is_closed else ", read only" if type(core.backend) is ReadOnlyBackend else ""
        return f"DataStore(backend={self.backend.name!r}{state})"


def _forget(core: Core, range: IdRange) -> Forgotten:
    """Remove everything in a range, and return how much that was."""
    now = core.now()
    if core.backend.capabilities.supports("forget"):
        backend = core.backend
        return core.call("forgetting a user", lambda: backend.forget(range, now))
    removed = expired = 0
    for ids in core.all_ids(range):
        outcomes = core.write([Delete(id, now) for id in ids])
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error.during("forgetting a user", core.backend.name)
        live = sum(outcome.done for outcome in outcomes)
        removed, expired = removed + live, expired + len(outcomes) - live
    return Forgotten(removed, expired)


def scopes_of_tenants(store: DataStore) -> Iterator[Scope] | None:
    """Return a scope of each tenant that has a database; ``None`` if they share one."""
    core, tenants = store._core, store._tenants
    if tenants is None:
        return None
    return (Scope(core, user_id, None, "default") for user_id in core.call("listing tenants", tenants.tenants))


def _users(core: Core, prefix: str, after: str | None, limit: int | None) -> Iterator[str]:
    """Yield the encoded ids of the users that have documents: of at least ``limit``, if there are as many."""
    at_once = _USERS if limit is None or prefix else min(limit, _USERS)
    range = beginning_with(prefix) if prefix else EVERYTHING
    if after is not None:
        range = range._replace(start=max(range.start, after_user(after)))
    while core.backend.capabilities.supports("users"):
        backend = core.backend
        users = core.call("listing users", partial(backend.users, at_once, after))
        yield from (user for user in users if user.startswith(prefix))
        if len(users) < at_once:
            return
        after = users[-1]
    while True:
        read = partial(core.backend.scan, range, Fields.KEY, 1)
        page = core.call("listing users", read)
        found = [document.id for document in page.documents] or [one.id for one in page.damaged if one.id is not None]
        if not found:
            if page.after is None:
                return
            range = range._replace(start=page.after + "!")
            continue
        (id,) = found[:1]
        if not is_system(id) and is_id(id):
            yield id.partition(":")[0]
        range = range._replace(start=after_user(id))


def check_seconds(max_seconds: float) -> float:
    """Check how long a call may take, and return it.

    Raises:
        ConfigurationError: If it is out of range.
    """
    return number_of("max_seconds", max_seconds, minimum=0.001)


def number_of(name: str, value: float, *, minimum: float) -> float:
    """Return a numeric option, or raise `ConfigurationError`."""
    number = as_number(value)
    if number is None or not minimum <= number < _MOST:
        raise ConfigurationError(
            f"{name} is {shown(value)}; it must be a number of at least {minimum}, below {_MOST:g}"
        )
    return number
