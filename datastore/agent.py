"""What an agent holds: the calls of the store, bound to one user, one agent and one namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from datastore.calls.batches import BatchCalls
from datastore.calls.changes import ChangeCalls
from datastore.calls.claims import ClaimCalls
from datastore.calls.leases import LeaseCalls
from datastore.calls.listings import ListingCalls
from datastore.calls.logs import LogCalls
from datastore.calls.namespaces import NamespaceCalls
from datastore.calls.queries import QueryCalls
from datastore.calls.records import RecordCalls
from datastore.scope import OfOneProcess, Scope, bind, scope_of

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore
    from datastore.blobs import Blobs
    from datastore.interfaces.key_value import KeyValueStore
    from datastore.interfaces.logs import Log
    from datastore.interfaces.vault import Vault
    from datastore.memory import Memory
    from datastore.memory.vector_vault import VectorVault
    from datastore.runs import Runs


class AgentDataStore(
    RecordCalls,
    ChangeCalls,
    BatchCalls,
    ListingCalls,
    QueryCalls,
    ClaimCalls,
    LeaseCalls,
    NamespaceCalls,
    LogCalls,
    OfOneProcess,
):
    """A store for one agent of one user, in one namespace. Made by `DataStore.agent` and `use_namespace`.

    Keys are text of 1 to 512 bytes of UTF-8. Values are anything JSON up to 1,000,000 bytes of UTF-8; what comes back
    is a copy and equals what went in, type for type. Safe to share between threads.

    Every call can raise `InvalidNameError` before any I/O, for a key, prefix or namespace that is not valid. After that
    it can raise `BackendUnavailableError`, `ThrottledError`, `BackendUnusableError`, `PermissionDeniedError`,
    `DamagedRecordError`, `DeadlineExceededError`, `InternalError` or `ClosedError`. The errors named at a call come in
    addition. Requests are those of the backend's client in steady state; on SQLite each is one statement. Transient
    failures are retried for `connect`'s ``retry_seconds``.
    """

    __slots__ = ()

    def __new__(cls, scope: Scope) -> Self:
        """Bind a new object. An ``__init__`` could be called again to bind it to another scope, so there is none."""
        kind: type[Any] = cls if scope.stand_in is None or cls is not AgentDataStore else scope.stand_in
        self: Self = super().__new__(kind)
        bind(self, scope)
        return self

    @property
    def user_id(self) -> str:
        """The user whose data this is."""
        return scope_of(self).user_id

    @property
    def agent(self) -> str:
        """The name that provenance shows for what this object does; empty for the host (`DataStore.host`)."""
        return scope_of(self).agent

    @property
    def namespace(self) -> str:
        """The namespace of the keys."""
        return scope_of(self).namespace

    def use_namespace(self, namespace: str) -> Self:
        """Return a store for the same user and agent in another namespace. This one is unchanged.

        Raises:
            PermissionDeniedError: If the agent has grants, and no one to read this namespace.

        Requests: 0.
        """
        scope = scope_of(self).within(namespace)
        scope.core.check_reads(scope.prefix)
        return type(self)(scope)

    def purge_expired(self) -> int:
        """Remove the expired records of the user, and parts of blobs and vectors that nobody needs, for their space.

        Nobody sees an expired record anyway, nor what is left of a blob that was replaced or deleted, or whose `put`
        was interrupted (`Blobs`), nor the vector of a record that was replaced or removed more than an hour ago
        (`Memory`).

        Returns:
            How many records there were, how many versions of blobs, and how many vectors.

        Raises:
            UnsupportedError: If the database reclaims expired records by itself (DynamoDB), and the user has neither
                blobs nor vectors.

        Requests: SQLite 2; CouchDB and Firestore those that list the user's expired records and delete them, once for
        records, and once for what namespaces keep beside them, such as logs. 2 more, 2 for each namespace with blobs,
        and those that remove parts; for each namespace with vectors 1 per page of these, and 1 for each 100.
        """
        from datastore.purging import purge_user  # imported here, because few need it

        return purge_user(scope_of(self))

    # -------------------------------------------------------------------------------------------- other interfaces

    @property
    def asynchronous(self) -> AsyncAgentDataStore:
        """The same store, with calls that are awaited: an `AsyncAgentDataStore`."""
        from datastore.asynchronous.agent import AsyncAgentDataStore  # imported here, because few need asyncio

        return AsyncAgentDataStore(self)

    @property
    def vault(self) -> Vault:
        """The same user's data as documents in collections: a `Vault`."""
        from datastore.interfaces.vault import Vault  # imported here, because few need it

        return Vault(self, scope_of(self).core.backend.name)

    @property
    def key_value(self) -> KeyValueStore:
        """A `KeyValueStore` in this namespace; call it with ``scopes={"run": ...}`` to bind scopes."""
        from datastore.interfaces.key_value import KeyValueStore  # imported here, because few need it

        return KeyValueStore(self)

    @property
    def blobs(self) -> Blobs:
        """Bytes of any size under names, in this namespace: `Blobs`."""
        from datastore.blobs import Blobs  # imported here, because few need it

        return Blobs(scope_of(self))

    @property
    def runs(self) -> Runs:
        """The runs of this namespace, journals of steps that any worker can go on with: a `Runs`."""
        from datastore.runs import Runs  # imported here, because few need it

        return Runs(scope_of(self), type(self))

    @property
    def memory(self) -> Memory:
        """Texts with vectors in this namespace, and the search by meaning: a `Memory`."""
        from datastore.memory import Memory  # imported here, because few need it

        return Memory(scope_of(self))

    def vector_vault(self, name: str) -> VectorVault:
        """Return a vault of texts that are found by meaning: a `VectorVault`. It need not be created.

        Args:
            name: Its name: that of a namespace of the user, with ``/`` for a vault within another.

        Requests: 0.
        """
        from datastore.memory.vector_vault import VectorVault  # imported here, because few need it

        return VectorVault(self, name)

    def log(self, name: str) -> Log:
        """Return an ordered log of this namespace: a `Log`. It need not be created.

        Args:
            name: Its name, text of 1 to 255 bytes of UTF-8, encoded as a namespace is.

        Requests: 0.
        """
        from datastore.interfaces.logs import Log  # imported here, because few need it

        return Log(self, name)

    # -------------------------------------------------------------------------------------------------- manners

    def __repr__(self) -> str:
        return f"AgentDataStore(user_id={self.user_id!r}, agent={self.agent!r}, namespace={self.namespace!r})"
