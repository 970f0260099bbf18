"""Every error that the store raises, in one small hierarchy.

A message says what was attempted, on which backend, and what to do about it. The client library's own exception is
chained as ``__cause__``. No message, log line or ``repr`` holds a secret from a URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from logging import Logger

_LONGEST_MESSAGE = 2_000


class DataStoreError(Exception):
    """The root of the hierarchy.

    Attributes:
        message: What went wrong and what to do.
        backend: The backend's name, such as ``"sqlite"``; ``None`` when no backend took part.
        operation: What was attempted, such as ``"write key 'plan' of namespace 'default'"``.
        retryable: Whether the same call may succeed later without any change.
        waited: Whether the adapter has waited already for as long as it was told to; the store then does not repeat
            the call.
    """

    retryable: bool = False
    waited: bool = False

    def __init__(self, message: str, *, backend: str | None = None) -> None:
        if len(message) > _LONGEST_MESSAGE:  # a message may quote something long
            message = f"{message[:_LONGEST_MESSAGE]}..."
        super().__init__(message)
        self.message = message
        self.backend = backend
        self.operation: str | None = None

    def during(self, operation: str, backend: str) -> Self:
        """Add what was attempted and where, unless it is known already, and return the error itself."""
        self.operation = self.operation or operation
        self.backend = self.backend or backend
        return self

    def __str__(self) -> str:
        context = " on ".join(part for part in (self.operation, self.backend) if part)
        return f"{context}: {self.message}" if context else self.message


class ConfigurationError(DataStoreError):
    """The URL, an option or the installation is wrong: nothing was opened.

    Attributes:
        by_the_store: Whether the store itself has written the message, with nothing in it that is the host's alone.
    """

    by_the_store = False


class InvalidNameError(DataStoreError, ValueError):
    """A user id, agent name, namespace, key or prefix is not one that the store takes."""


class InvalidNameTypeError(InvalidNameError, TypeError):
    """A name is not text at all: an `InvalidNameError` that is a `TypeError` as well."""


class InvalidValueError(DataStoreError, TypeError):
    """A value, metadata or an argument is not one that the store takes; the message names the path."""


class ValueTooLargeError(DataStoreError, ValueError):
    """A value or its metadata is larger than every backend must accept."""


class KeyExistsError(DataStoreError):
    """`add` found a live record under the key."""


class ConflictError(DataStoreError):
    """The record is not at the revision that the caller asked for.

    Attributes:
        revision: The current revision; ``None`` when there is no live record.
    """

    def __init__(self, message: str, *, revision: str | None = None, backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.revision = revision


BatchKey: TypeAlias = Any
"""The key of a record in the outcomes of a batch. If the record is in a namespace other than the store's own, it is the
pair of namespace and key. It is not typed as such, so that programs without such records need not tell them apart."""


class BatchError(DataStoreError):
    """Some records of a batch failed; the others are done.

    Attributes:
        outcomes: For each key of the batch ``None`` when it is done, or the error that stopped it. The key of a record
            in another namespace (`Item.namespace`) is the pair of namespace and key.
    """

    def __init__(
        self,
        message: str,
        *,
        outcomes: Mapping[BatchKey, DataStoreError | None] | None = None,
        backend: str | None = None,
    ) -> None:
        super().__init__(message, backend=backend)
        self.outcomes = dict(outcomes or {})

    @property
    def failed(self) -> dict[BatchKey, DataStoreError]:
        """The keys that are not done, each with its error."""
        return {key: error for key, error in self.outcomes.items() if error is not None}

    @property
    def succeeded(self) -> list[BatchKey]:
        """The keys that are done."""
        return [key for key, error in self.outcomes.items() if error is None]


class QueryError(DataStoreError, ValueError):
    """A limit, a cursor or a filter is not one that the store understands."""


class UnsupportedError(DataStoreError):
    """This backend cannot do what was asked, and says so instead of doing something else."""


class BackendUnavailableError(DataStoreError):
    """The database is down, unreachable or locked, for now; the call may or may not have reached it."""

    retryable = True


class ThrottledError(BackendUnavailableError):
    """The database refused for load, and went on refusing for the whole time budget."""


class OutcomeUnknownError(DataStoreError):
    """The answer was lost, and nobody can tell any more whether this call removed the record or another one did.

    Trying again does not help: look at what is there now, and decide.
    """


class BackendUnusableError(DataStoreError):
    """The database cannot be used until somebody mends it: full, damaged, gone, replaced, or of another version.

    Trying again does not help, so nothing is repeated.
    """


class DamagedRecordError(DataStoreError):
    """A stored document is not one that the store wrote: edited by hand, foreign, or damaged.

    Attributes:
        id: The document's id.
        foreign: It was never one of the store's: it has no revision. Only `delete` with its key removes it.
    """

    def __init__(
        self, message: str, *, id: str | None = None, foreign: bool = False, backend: str | None = None
    ) -> None:
        super().__init__(message, backend=backend)
        self.id = id
        self.foreign = foreign


class DeadlineExceededError(DataStoreError):
    """The call took longer than ``max_seconds``. It is no outage: the same call would take as long again."""


class ReentrantCallError(DataStoreError):
    """The store was called from within one of its own calls, by a signal handler, a finalizer or a callback.

    Nothing was done. Set a flag there, and call the store when the call that was interrupted has ended.
    """


class InternalError(DataStoreError):
    """A fault of this package or of an adapter: the cause is chained. Please report it."""


class PermissionDeniedError(DataStoreError):
    """The database refused the credentials, the operating system access to the file, or an agent has no grant for it.

    What an agent has no grant for is refused before any request, whether or not there is such a record.

    Attributes:
        by_the_store: Whether the store itself refused, because of grants or a token, and not the database.
    """

    def __init__(self, message: str, *, by_the_store: bool = False, backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.by_the_store = by_the_store


class InvalidTokenError(PermissionDeniedError):
    """A token (`datastore.DataStore.tokens`) is unknown, was revoked, or has expired. Nobody is told which of these."""


class EmbedderError(DataStoreError):
    """The host's embedder failed, or the vectors of a namespace are of another model than its own. Nothing was stored.

    Where the host's function has raised something, that is the cause (``__cause__``).
    """


class BlobNotFoundError(DataStoreError, FileNotFoundError):
    """There is no blob of this name to open: a `FileNotFoundError` as well."""


class BlobReplacedError(ConflictError):
    """What a file object reads was replaced or deleted, and is removed by now. Open the blob again."""


class QuotaExceededError(DataStoreError):
    """An agent may not store so much; the host says how much it may (`datastore.DataStore.agent`).

    Attributes:
        unit: What there would be too much of: ``"records"`` or ``"bytes"``.
        limit: How much there may be.
        needed: How much there would be with this write.
    """

    def __init__(
        self, message: str, *, unit: str = "", limit: int = 0, needed: int = 0, backend: str | None = None
    ) -> None:
        super().__init__(message, backend=backend)
        self.unit = unit
        self.limit = limit
        self.needed = needed


class LeaseLostError(DataStoreError):
    """A lease (`datastore.AgentDataStore.lease`) is over: released, not renewed in time, or taken over by another one.

    Raised by every write through ``lease.data_store``, and by renewing. What was written in time stays; of a batch some
    records may have been written. Trying again does not help: take the lease again, and begin with what is stored.
    """


class LeaseHeldError(DataStoreError):
    """Another holder has the lease, and did not release it in the time that the call could wait.

    Attributes:
        holder: The agent that holds it; ``None`` if that is not known.
    """

    def __init__(self, message: str, *, holder: str | None = None, backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.holder = holder


class NoSuchRunError(DataStoreError):
    """There is no run with this id; it may have been pruned."""


class RunOverError(DataStoreError):
    """The run is over, and nothing can be added to it. One that failed goes on with `datastore.runs.Runs.retry`.

    Attributes:
        status: How it ended: ``"done"``, ``"failed"`` or ``"cancelled"``.
    """

    def __init__(self, message: str, *, status: str = "", backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.status = status


class RunWaitingError(DataStoreError):
    """The run waits, and this worker has let it go. Leave the function that works on it: ``with run:`` ends quietly.

    When what it waits for is there, `datastore.runs.Runs.due` names the run, and any worker resumes it.
    """


class RunChangedError(DataStoreError):
    """The program asks for another step than the journal has at this place: it was changed since, or is not repeatable.

    Nothing was written. Resume the run with the program that began it, or fork it at the last step that both have.

    Attributes:
        number: The number of the journal's entry.
    """

    def __init__(self, message: str, *, number: int = 0, backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.number = number


class StepFailedError(DataStoreError):
    """What a step of a run called has failed, also after its retries. The error itself is chained where it happened.

    On resume the journal raises this error again if the program went on after it, and otherwise calls the function
    once more. What was raised is kept only as the name of its class, for a message may quote a secret.

    Attributes:
        step: The step's name.
        error: The name of the class that was raised.
    """

    def __init__(self, message: str, *, step: str = "", error: str = "", backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.step = step
        self.error = error


class EffectUnknownError(DataStoreError):
    """A worker claimed an effect and did not say that it was done: nobody knows whether it took place.

    Find out, and say so with the argument ``unknown`` of `datastore.runs.Run.effect`.

    Attributes:
        effect: The effect's name.
    """

    def __init__(self, message: str, *, effect: str = "", backend: str | None = None) -> None:
        super().__init__(message, backend=backend)
        self.effect = effect


class AnswerTimeoutError(DataStoreError):
    """Nobody has answered in the time that a run waits for; an answer that comes later does not count."""


class NotPicklableError(DataStoreError, TypeError):
    """A store holds connections and threads, which no other process can have."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(f"{'an' if name[0] in 'AEIOU' else 'a'} {name} cannot be pickled: {remedy}")


class ClosedError(DataStoreError):
    """The store was closed; open another one with `datastore.connect`."""


def conflict(expected: str | None, revision: str | None) -> ConflictError:
    """Return the error for a record that is not at a revision.

    Args:
        expected: The revision that was asked for.
        revision: The revision of the live record; ``None`` if there is none.
    """
    state = "there is no live record" if revision is None else f"the record is at revision {revision!r}"
    shown = repr(expected if expected is None else expected[:100])
    return ConflictError(f"{state}, not at {shown}; read it again and decide", revision=revision)


def exists() -> KeyExistsError:
    """Return the error for a record that was to be new."""
    return KeyExistsError("there is a record already; use set() to overwrite it")


def logger() -> Logger:
    """Return the logger of the package, ``"datastore"``."""
    import logging  # here, because importing it takes as long as the largest module of the package, and few need it

    return logging.getLogger("datastore")


def of_the_store(error: Exception) -> DataStoreError:
    """Return an error of the store unchanged, and anything else that an adapter raises as an `InternalError`.

    Its message names only the class, because a client's message may quote what is stored. Being out of memory is not a
    fault of the adapter: that error is raised as it is. So is what a signal handler raises (a timeout, a worker's soft
    limit): it can arrive between any two lines, and is meant for the code that installed the handler.
    """
    if isinstance(error, DataStoreError):
        return error
    if isinstance(error, MemoryError) or _is_of_a_signal_handler(error):
        raise error
    fault = InternalError(
        f"the adapter or its client raised {type(error).__name__}, which it should not; the cause is chained. Please "
        "report it with the traceback"
    )
    fault.__cause__ = error
    return fault


def _is_of_a_signal_handler(error: Exception) -> bool:
    import signal  # imported here, because few programs need it

    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    functions = [getattr(handler, "__func__", getattr(handler, "func", handler)) for handler in handlers]
    codes = {getattr(function, "__code__", None) for function in functions} - {None}
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


_name_of = type.__dict__["__name__"].__get__  # the real name of the type, whatever a metaclass says


def name_of(kind: type) -> str:
    """Return the name of a type, of at most 80 characters, whatever its metaclass says."""
    name: str = _name_of(kind)[:80]
    return name


def kind_of(value: object) -> str:
    """Return the type of a value with an article, for a message: ``"an int"``."""
    name: str = _name_of(type(value))[:80] or "nameless object"
    return f"{'an' if name[0] in 'AEIOaeiou' else 'a'} {name}"
