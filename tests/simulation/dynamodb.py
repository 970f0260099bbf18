"""DynamoDB at the place where botocore sends bytes and receives bytes: above it, everything is the adapter's real code.

Only the signature is left out, which takes as long as all the rest of botocore. What would take a megabyte takes a few
dozen bytes here in some runs: then values of some dozen bytes are split into parts, as others are from 350 KB on.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from random import Random
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest.mock import patch

import botocore
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from datastore.backend import Backend
from datastore.conformance.simulation.history import (
    BEGAN,
    COUNTS_WHAT_IT_LISTED,
    LEAVES_EXPIRED_PARTS,
    REMEMBERS_EIGHT_WRITES,
    Call,
)
from datastore.conformance.simulation.luck import FAULTS
from datastore.conformance.simulation.network import (
    REQUEST_SECONDS,
    Client,
    ConnectionBrokeError,
    NoAnswerError,
    ServerError,
    TooManyRequestsError,
)
from datastore.conformance.simulation.world import Process, World
from datastore_dynamodb import batches, codec, reading
from datastore_dynamodb import client as its_client
from datastore_dynamodb.answers import Answers
from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.parts import keys_of
from datastore_dynamodb.schema import PARTITION, PARTS_SUFFIX, SORT, TTL, Settings, format_item
from tests.servers.dynamodb import CREDENTIALS
from tests.simulation.dynamodb_table import Moment, RefusalError, Table, canceled, keys_in
from tests.simulation.pools import Pool
from tests.simulation.tokens import short

_NAME = "sim"
_SETTINGS = Settings(_NAME, region="eu-west-1", endpoint_url="http://dynamodb.invalid", timeout=REQUEST_SECONDS)
_SHORTENED = 0.98
"""In so many runs requests take the short way."""
_LARGEST = codec.MAX_VALUE_SIZE
_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})
_REASONS = {"Code": "None"}
_EMPTY = b"{}"
Replacement = tuple[Any, str, Any]


class DynamoDatabase:
    """The database.

    Args:
        adapter: The adapter.
        faults: What is replaced in its modules besides: faults that must be found.
        shortened: Whether requests take a short way through the client; by default in 98 of a hundred runs.
    """

    faults = frozenset(FAULTS) | {"answer cut", "unprocessed", "conflict", "not connected", "made anew"}
    connects = False  # a table that is there is opened at once
    limits = frozenset({COUNTS_WHAT_IT_LISTED, LEAVES_EXPIRED_PARTS, REMEMBERS_EIGHT_WRITES})

    def __init__(
        self,
        adapter: type[DynamoBackend] = DynamoBackend,
        faults: Iterable[Replacement] = (),
        *,
        shortened: bool | None = None,
    ) -> None:
        self._adapter = adapter
        self._shortened = shortened
        self._faults = list(faults)
        self.table = new_table()
        self._transports: dict[Process, Transport] = {}
        self._chance: Random

    def make_anew(self) -> bool:
        """See `MadeAnew.make_anew`. Between the parts of a value and their record it would leave that without them."""
        items = self.table.items()
        named = [key for item in items for key in keys_of(item)]
        for item in items:
            is_part = item[PARTITION]["S"].endswith(PARTS_SUFFIX)
            if is_part and {name: item[name] for name in (PARTITION, SORT)} not in named:
                return False  # somebody may be about to write the record
        self.table.empty()
        # Otherwise nobody has told it its format. Its records show it; parts of values, without their record, do not.
        if codec.MAX_VALUE_SIZE < _LARGEST or self._chance.random() < 0.5:
            self.table.put(format_item())
        return True

    def replaced(self, world: World) -> Iterator[Replacement]:
        """See `Replacing.replaced`."""
        scheduler = world.scheduler
        self._chance = Random(f"{world.plan.seed} made anew")
        largest = Random(f"{world.plan.seed} sizes").choice((codec.MAX_VALUE_SIZE, 60, 40, 25))
        if largest < codec.MAX_VALUE_SIZE:
            yield codec, "MAX_VALUE_SIZE", largest
            yield codec, "_ALWAYS_FITS", 0

        def now() -> float:
            assert scheduler.current is not None
            shown: float = scheduler.current.owner.clock()
            return shown

        yield reading, "time", SimpleNamespace(time=now)

        def client(*_: Any) -> Any:  # after a fork
            assert scheduler.current is not None
            return _client_over(self._transports[scheduler.current.owner], shortened=bool(self._shortened))

        yield its_client, "_make_client", client
        yield batches, "ThreadPoolExecutor", lambda most, name: Pool(world, most)
        yield from self._faults

    def left_open(self, process: Process) -> int:
        """See `Connected.left_open`."""
        return int(self._transports[process].is_open)

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        transport = self._transports[client.process] = Transport(self.table, client)
        if self._shortened is None:
            self._shortened = Random(f"{client.world.plan.seed} client").random() < _SHORTENED
        return adapter_over(transport, self._adapter, shortened=self._shortened)


def adapter_over(
    transport: Any, adapter: type[DynamoBackend] = DynamoBackend, *, shortened: bool = False
) -> DynamoBackend:
    """Return an adapter whose requests a transport carries out, in place of botocore's HTTP session."""
    # The adapter makes its client at once, since it looks at the format of its table.
    with patch.object(its_client, "_make_client", lambda *_: _client_over(transport, shortened=shortened)):
        return adapter(_SETTINGS)


def new_table() -> Table:
    """Return a table that holds no record."""
    table = Table(_NAME, TTL)
    table.put(format_item())
    return table


class HttpClient(Client):
    """A process's way to the database; a client over HTTP waits for an answer as long as it is set to."""

    def patience(self) -> float:
        """See `Client.patience`."""
        return REQUEST_SECONDS


class Transport:
    """Stands in for botocore's HTTP session."""

    def __init__(self, table: Table, client: Client) -> None:
        self._table = table
        self._world = client.world
        self._client = HttpClient(client.world, client.process)
        self.is_open = True

    def close(self) -> None:
        """Close it."""
        self.is_open = False

    def send(self, request: Any) -> AWSResponse:
        """Send a request, and return the answer."""
        operation, body = asked(request)
        task = self._world.scheduler.current
        if task is None:  # the adapter is opened, between two tasks
            return self._answer(request, operation, body, Random(0), None)
        chance, call = Random(task.random.getrandbits(64)), self._world.calls.get(task)
        answer = partial(self._answer, request, operation, body, chance, call)
        own: dict[str, Callable[[Random], Any]] = {
            "answer cut": lambda random: _cut(request, answer(None), random),
            "not connected": lambda _: _not_connected(request),
        }
        size = len(next(iter(body["RequestItems"].values()))) if operation == "BatchWriteItem" else 1
        if operation == "BatchGetItem":
            size = len(body["RequestItems"][_NAME]["Keys"])
        if operation.startswith("Batch"):
            own["unprocessed"] = lambda random: answer(random.randrange(size))
        elif operation in ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"):
            own["conflict"] = lambda _: _refused(request, _conflict(operation, body))
        try:
            sent: AWSResponse = self._client.request(partial(_told, operation, body), answer, size, own)
        except NoAnswerError as error:
            raise ReadTimeoutError(endpoint_url=request.url) from error
        except ConnectionBrokeError as error:
            raise ConnectionClosedError(endpoint_url=request.url) from error
        except TooManyRequestsError:
            return _refused(request, _throttled(operation, body))
        except ServerError as error:
            status = int(str(error).partition(":")[0])
            return _refused(
                request, RefusalError("InternalServerError" if status == 500 else "ServiceUnavailable"), status
            )
        finally:
            if call is not None:
                call.blind = call.blind or operation not in _READS
        return sent

    def _answer(
        self, request: Any, operation: str, body: Any, chance: Random, call: Call | None, part: int | None = None
    ) -> AWSResponse:
        world = self._world
        if call is not None:  # also if the request arrives late, after its process was killed
            call.reaped = max(call.reaped, (BEGAN + world.scheduler.now) * 1e6)
        moment = Moment(
            BEGAN + world.scheduler.now,
            chance,
            0.0 if world.calm else chance.choice((0.0, 0.0, 0.3)),
            chance.choice((1, 2, 3, 1_000)),
            part,
        )
        return answered(self._table, request, operation, body, moment)


def asked(request: Any) -> tuple[str, Any]:
    """Return the operation that a request of botocore asks for, and its parameters."""
    target = request.headers["X-Amz-Target"]
    operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
    return operation, json.loads(request.body)


def answered(table: Table, request: Any, operation: str, body: Any, moment: Moment) -> AWSResponse:
    """Return a table's answer to a request of botocore."""
    try:
        return _http(request, 200, table.answer(operation, body, moment))
    except RefusalError as refusal:
        return _refused(request, refusal)


def _told(operation: str, body: Any) -> str:
    items = ", ".join(short(f"{partition}:{sort}") for partition, sort in keys_in(operation, body))
    if "KeyConditionExpression" in body:
        values = body["ExpressionAttributeValues"]
        items = " ".join(values[name]["S"] for name in (":user", ":first") if name in values)
    return f"{operation} {items}"


def _conflict(operation: str, body: Any) -> RefusalError:
    if operation != "TransactWriteItems":
        return RefusalError("TransactionConflictException", "Transaction is ongoing for the item")
    return canceled([{"Code": "TransactionConflict"}, *(_REASONS for _ in body["TransactItems"][1:])])


def _throttled(operation: str, body: Any) -> RefusalError:
    if operation != "TransactWriteItems":
        return RefusalError("ProvisionedThroughputExceededException", "The level of configured throughput was exceeded")
    return canceled([{"Code": "ThrottlingError"}, *(_REASONS for _ in body["TransactItems"][1:])])


def _not_connected(request: Any) -> NoReturn:
    raise EndpointConnectionError(endpoint_url=request.url)


def _refused(request: Any, refusal: RefusalError, status: int = 400) -> AWSResponse:
    service = f"com.amazonaws.dynamodb.v20120810#{refusal.code}"
    return _http(request, status, {"__type": service, "message": refusal.message, **refusal.more})


def _http(request: Any, status: int, answer: dict[str, Any]) -> Any:
    content = json.dumps(answer).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "content-length": str(len(content)),
        "x-amz-crc32": str(zlib.crc32(content)),
    }
    return _response(request, status, headers, content)


def _response(request: Any, status: int, headers: dict[str, str], content: bytes) -> Any:
    """Return an answer as botocore has it, or one that is enough for the short way."""
    if isinstance(request, SimpleNamespace):
        return SimpleNamespace(status_code=status, headers=headers, content=content)
    return AWSResponse(request.url, status, headers, _Body(content))


def _cut(request: Any, answer: Any, random: Random) -> Any:
    content = answer.content
    return _response(request, answer.status_code, answer.headers, content[: random.randrange(len(content))])


class _Body:
    """What the content of an answer is read from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


def _client_over(transport: Any, *, shortened: bool = False) -> Any:
    """Return a client over a transport: a copy of one that was really made, which takes too long to be done often.

    Args:
        transport: What sends requests.
        shortened: Whether requests take the `_ShortWay`.
    """
    real = _real_client()
    client = object.__new__(type(real))  # `copy.copy` asks it for names, which it takes for operations
    vars(client).update(vars(real))
    client._endpoint = copy.copy(client._endpoint)
    client._endpoint.http_session = transport
    if shortened:
        client._make_api_call = _ShortWay(client, transport).call
    return client


class _ShortWay:
    """From a call of the client to its transport and back, without most of botocore: events, endpoints, HTTP objects.

    That takes two thirds of the time of a run. What the adapter has put into the client is there: its serializer, and
    its check of answers. Answers are parsed by botocore's own parser. That a run is the same on both ways is tested.
    """

    def __init__(self, client: Any, transport: Any) -> None:
        self._client = client
        self._transport = transport
        service = client._service_model
        self._parser = client._endpoint._response_parser_factory.create_parser(service.resolved_protocol)
        self._target = service.metadata["targetPrefix"]

    def call(self, operation: str, parameters: Any) -> Any:
        """Make a call, as `botocore.client.BaseClient._make_api_call` does."""
        client = self._client
        model = client._service_model.operation_model(operation)
        body = client._serializer.serialize_to_request(parameters, model)["body"]
        headers = {"X-Amz-Target": f"{self._target}.{operation}"}
        response = self._transport.send(SimpleNamespace(url=f"{_SETTINGS.endpoint_url}/", headers=headers, body=body))
        received = {
            "headers": response.headers,
            "status_code": response.status_code,
            "context": {"operation_name": operation},
            "body": response.content,
        }
        read: dict[str, Any] = {}
        _checks().check(operation_model=model, response_dict=received, customized_response_dict=read)
        if response.status_code == 200 and received["body"] == _EMPTY:
            return read  # the adapter has read the answer itself: nothing is left for the parser
        answer = self._parser.parse(received, model.output_shape)
        answer.update(read)
        if response.status_code != 200:
            code = answer["Error"]["Code"]
            shape = client._service_model.shape_for_error_code(code)
            if shape is not None:
                answer.update(self._parser.parse(received, shape))
            raise client.exceptions.from_code(code)(answer, operation)
        return answer


class _Checks(Answers):
    """Checks answers with the method that the class has at that time: the client outlives what replaces it in a run."""

    def check(self, *args: Any, **kwargs: Any) -> None:
        super().check(*args, **kwargs)


@cache
def _checks() -> _Checks:
    return _Checks()


@cache
def _real_client() -> Any:
    with patch.dict("os.environ", CREDENTIALS):
        client: Any = _REAL(_SETTINGS, _checks())
    client._request_signer._signature_version = botocore.UNSIGNED
    return client


_REAL = its_client._make_client
