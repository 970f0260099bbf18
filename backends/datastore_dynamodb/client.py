"""The client, which all threads share, and the meaning of its errors."""

from __future__ import annotations

from copy import copy
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore import exceptions as boto
from botocore import handlers
from botocore.config import Config
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from datastore import deadlines, tls
from datastore.errors import (
    BackendUnavailableError,
    ClosedError,
    ConfigurationError,
    DataStoreError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
)
from datastore.turns import Calls, Turns
from datastore_dynamodb.answers import AnswerLostError, Answers, check_form, is_of_parsing
from datastore_dynamodb.schema import NAME, Settings, missing
from datastore_dynamodb.wireformat import serialize_plainly

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class RefusedError(InternalError):
    """DynamoDB does not accept a request. It was not carried out, and would be refused again."""

    code = ""

    @property
    def may_be_too_large(self) -> bool:
        """Whether smaller requests may be accepted, as after a transaction of more than 4 MB."""
        return self.code == "ValidationException"


class InUseError(BackendUnavailableError):
    """The table is being created, changed or removed."""


class ConditionFailedError(Exception):
    """The condition of a write does not hold.

    Attributes:
        item: The item that it found; ``None`` if there is no item, or the server does not send it.
    """

    def __init__(self, item: dict[str, Any] | None) -> None:
        super().__init__()
        self.item = item


class CanceledError(Exception):
    """A transaction was not carried out.

    Attributes:
        reasons: For each of its items the code (``"None"`` if the item was not the reason), and perhaps the item.
    """

    def __init__(self, reasons: list[dict[str, Any]]) -> None:
        super().__init__()
        self.reasons = reasons


class Connection:
    """A client that is created on first use, and again after a fork. Threads may share clients, but not resources."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.origin = uuid4().hex
        """Tells what is sent over this from what others send."""
        self._answers = Answers()
        self.after_fork()
        self._closed = False

    def after_fork(self) -> None:
        """Forget the client without closing its sockets, which belong to the parent."""
        self._client: DynamoDBClient | None = None
        self._making = Turns("creating a client for DynamoDB")
        self._under_way = Calls("a request to DynamoDB")

    @property
    def client(self) -> DynamoDBClient:
        """The client."""
        if self._client is None:
            with self._making.take():
                if self._closed:
                    raise ClosedError("the store was closed", backend=NAME)
                if self._client is None:
                    self._client = _make_client(self.settings, self._answers)
        return self._client

    def call(self, operation: str, **parameters: Any) -> Any:
        """Send one request for the table and return the answer.

        Raises:
            ConditionFailedError: If the condition of a write does not hold.
            CanceledError: If a transaction was not carried out.
            DeadlineExceededError: If the call under way has no time left. Nothing was sent.
            DataStoreError: For everything else.
        """
        deadlines.check()
        client = self._client or self.client
        try:
            with self._under_way.begin():
                answer: Any = getattr(client, operation)(**parameters)
        except boto.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            refusal: Any = error.response
            if code == "ConditionalCheckFailedException":
                raise ConditionFailedError(refusal.get("Item") or None) from error
            if code == "TransactionCanceledException":
                raise CanceledError(refusal.get("CancellationReasons") or []) from error
            raise translate(error, self.settings) from error
        except (boto.BotoCoreError, ResponseParserError) as error:
            raise translate(error, self.settings) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            if not is_of_parsing(error):
                raise
            raise AnswerLostError("DynamoDB's answer has an unexpected form", backend=NAME) from error
        check_form(operation, parameters, answer)
        return answer

    def close(self) -> None:
        """Close the connections. Idempotent."""
        with self._making.take():
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _make_client(settings: Settings, answers: Answers) -> DynamoDBClient:
    # Retries are off: the store repeats what is safe to repeat, within its own time budget, and botocore cannot know
    # that a count must not be added twice. The adapter builds every request itself; checking each again against the
    # service's model would take as long as everything else in the client together.
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.timeout,
        max_pool_connections=settings.connections,
        parameter_validation=False,
        tcp_keepalive=True,
        user_agent_extra="agent-datastore",
    )
    try:
        events = copy(_events(tuple(handlers.BUILTIN_HANDLERS)))
        core = Session(event_hooks=events, include_builtin_handlers=False, profile=settings.profile)
        loader = _descriptions(core.get_config_variable("data_path"))
        core.register_component("data_loader", loader)
        session = boto3.session.Session(botocore_session=core, region_name=settings.region)
        loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # each session of boto3 adds the same folder again
        client: DynamoDBClient = session.client("dynamodb", config=config, endpoint_url=settings.endpoint_url)
    except (boto.BotoCoreError, ValueError) as error:
        raise translate(error, settings) from error
    client.meta.events.register("before-parse.dynamodb", answers.check)
    serialize_plainly(client)
    return client


@lru_cache(maxsize=1)
def _events(specifications: tuple[Any, ...]) -> HierarchicalEmitter:
    """Return botocore's own handlers of events, registered for copies.

    Each session registers the same 130 functions, which takes as long as everything else in creating a client. A copy
    of what they were registered with is the same. Nothing that belongs to a session is in it.

    Args:
        specifications: What botocore registers. Others add to it: moto, when it is imported.
    """
    events = HierarchicalEmitter()
    Session(event_hooks=events)
    return events


@cache
def _descriptions(data_path: str | None) -> Loader:
    """Return a loader that reads botocore's descriptions of its services and keeps them.

    Reading them takes ten times as long as everything else in creating a client. A session keeps them for its clients,
    but threads cannot share a session, so each store has its own.
    """
    return create_loader(data_path)


_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "ThrottlingException",
        "ThrottlingError",
        "Throttling",
        "RequestLimitExceeded",
        "LimitExceededException",
        "TransactionConflictException",
        "TransactionConflict",
        "TransactionInProgressException",
        "ReplicatedWriteConflictException",
    }
)
_DENIED = {
    "AccessDeniedException": "allow the actions that docs/backends/dynamodb.md lists",
    "UnrecognizedClientException": "check the access key and the region",
    "InvalidSignatureException": "check the secret key and this machine's clock",
    "SignatureDoesNotMatch": "check the secret key",
    "IncompleteSignature": "check the credentials",
    "InvalidClientTokenId": "check the access key",
    "MissingAuthenticationToken": "give boto3 credentials",
    "MissingAuthenticationTokenException": "give boto3 credentials",
    "ExpiredTokenException": "renew the credentials",
    "ExpiredToken": "renew the credentials",
    "RequestExpired": "renew the credentials, or set this machine's clock",
    "NotAuthorized": "allow the actions that docs/backends/dynamodb.md lists",
    "OptInRequired": "enable DynamoDB for the account",
    "KMSAccessDeniedException": "allow the use of the table's encryption key",
}


_LOST = (
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ChecksumError,
    boto.FlexibleChecksumError,
    ResponseParserError,
)


def throttled(code: str) -> ThrottledError | None:
    """Return the error for a code that means overload, or another transaction on the same item."""
    if code in _THROTTLED:
        return ThrottledError(f"DynamoDB is overloaded ({code}); raise the capacity or try later", backend=NAME)
    return None


def translate(error: Exception, settings: Settings) -> DataStoreError:
    """Return the store's error for a client's error, by its code and never by its message."""
    if isinstance(error, boto.ClientError):
        return _of_code(error, settings)
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError):
        return BackendUnavailableError(f"cannot connect: {_place(settings)} does not accept connections", backend=NAME)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return PermissionDeniedError(
            "boto3 finds no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role",
            backend=NAME,
        )
    if isinstance(error, boto.CredentialRetrievalError | boto.SSOError | boto.MetadataRetrievalError):
        return PermissionDeniedError("boto3 cannot renew the credentials; sign in again", backend=NAME)
    if isinstance(error, boto.ProfileNotFound):
        return ConfigurationError(f"there is no profile {settings.profile!r} in boto3's configuration", backend=NAME)
    if isinstance(error, boto.NoRegionError):
        return ConfigurationError("no region is set; add ?region=... to the URL or set AWS_REGION", backend=NAME)
    if isinstance(error, boto.SSLError):
        refusal = tls.refusal(error, _place(settings), "AWS_CA_BUNDLE", NAME)
        # It may have broken before the request was sent, or after.
        return refusal or AnswerLostError(f"the TLS connection to {_place(settings)} broke", backend=NAME)
    if isinstance(error, _LOST):  # read timeouts, resets, incomplete answers
        return AnswerLostError(
            f"{_place(settings)} did not answer ({type(error).__name__}); the request may have been carried out",
            backend=NAME,
        )
    return ConfigurationError(f"boto3 refuses the settings ({type(error).__name__}: {error})", backend=NAME)


def _of_code(error: boto.ClientError, settings: Settings) -> DataStoreError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if found := throttled(code):
        return found
    if code in _DENIED:
        return PermissionDeniedError(f"DynamoDB refused ({code}): {_DENIED[code]}", backend=NAME)
    if code == "ResourceNotFoundException":
        return missing(settings)
    if status >= 500 or code in ("InternalServerError", "InternalFailure", "ServiceUnavailable"):
        return AnswerLostError(f"{_place(settings)} failed ({code}, status {status})", backend=NAME)
    if code in ("ResourceInUseException", "ContinuousBackupsUnavailableException"):
        return InUseError(f"the table {settings.table!r} is being created or changed", backend=NAME)
    refused = RefusedError(
        f"DynamoDB refused a request of this package ({code}); the cause is chained. Please report it", backend=NAME
    )
    refused.code = code
    return refused


def _place(settings: Settings) -> str:
    return settings.endpoint_url or f"DynamoDB in {settings.region or 'the default region'}"
