"""DynamoDB's stand-ins over HTTP: ministack, which the kit trusts, and dynalite for a second opinion."""

import atexit
import contextlib
import http.client
import json
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.installing import node_modules, python_environment
from tests.servers.processes import HOST, Server, temporary_folder

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
"""The servers take any."""
_MOST = 200
"""The most records that are removed from a table one by one."""
REAL = "AGENT_DATASTORE_TEST_DYNAMODB_URL"
"""Names a real table to run the kit on: ``dynamodb://table?region=...``; credentials are those that boto3 finds."""


def new_ministack(folder: Path) -> Server:
    """Return a server, not started."""
    python = python_environment("ministack") / "python"
    return Server(
        "ministack",
        lambda port: [str(python), str(Path(__file__).with_name("ministack_quick.py"))],
        _answers,
        folder,
        lambda port: {"BIND_HOST": HOST, "GATEWAY_PORT": str(port)},
    )


def new_dynalite(folder: Path) -> Server:
    """Return a server, not started."""
    program = node_modules() / "dynalite" / "cli.js"
    node = ["node", "--require", str(Path(__file__).with_name("dynalite_parsers.js"))]
    times = ["--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"]
    return Server(
        "dynalite", lambda port: [*node, str(program), "--host", HOST, "--port", str(port), *times], _answers, folder
    )


class StandIn:
    """A server of this test session.

    Args:
        new: Makes it.
        remedy: The command that installs what it needs.
        options: What it lacks, as parameters of the store's URL.
    """

    def __init__(self, new: Callable[[Path], Server], remedy: str, options: str = ""):
        self.REMEDY = remedy
        self._new = new
        self._options = options
        self._server: Server | None = None
        self._empty: list[str] = []

    def start(self) -> None:
        """Install the server if it is not there, and start it."""
        if self._server is None:
            server = self._new(temporary_folder("dynamodb"))
            server.start()
            self._server = server
            atexit.register(self.stop)

    def stop(self) -> None:
        """End the server."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def endpoint(self) -> str:
        """The address of the server."""
        self.start()
        assert self._server is not None
        return f"http://{HOST}:{self._server.port}"

    def url(self, table: str | None = None) -> str:
        """Return the store's URL of a table, by default a new one."""
        os.environ.update({name: value for name, value in CREDENTIALS.items() if name not in os.environ})
        return f"dynamodb://{table or new_table()}?region=eu-west-1&endpoint_url={self.endpoint}{self._options}"

    def borrow(self) -> str:
        """Return the store's URL of a table that holds no record, made or still to be made.

        Making one takes several times as long as emptying one.
        """
        return self.url(self._empty.pop() if self._empty else None)

    def give_back(self, url: str) -> None:
        """Empty a table, for the next test; one that a test has made something else of is removed.

        That is a table without its format, and one beside which there are tables of tenants. So is one that holds so
        much that making another is quicker.
        """
        # Imported here, because boto3 comes with it, and every test run imports this module.
        from datastore_dynamodb.schema import FORMAT_ATTRIBUTE, PARTITION, SORT, format_item

        table = url.partition("://")[2].partition("?")[0]
        names = {"#pk": PARTITION, "#sk": SORT, "#format": FORMAT_ATTRIBUTE}
        try:
            page = self._ask(
                "Scan", TableName=table, ProjectionExpression=", ".join(names), ExpressionAttributeNames=names
            )
        except LookupError:
            return  # it was never made, or the test has removed it
        records = [item for item in page["Items"] if item != format_item()]
        following = self._ask("ListTables", ExclusiveStartTableName=table, Limit=1)["TableNames"]
        as_made = len(records) == len(page["Items"]) - 1 and not any(name.startswith(table) for name in following)
        if not as_made or len(records) > _MOST or "LastEvaluatedKey" in page:
            self._ask("DeleteTable", TableName=table)
            return
        keys = [{name: item[name] for name in (PARTITION, SORT)} for item in records]
        for start in range(0, len(keys), 25):
            requests = [{"DeleteRequest": {"Key": key}} for key in keys[start : start + 25]]
            answer = self._ask("BatchWriteItem", RequestItems={table: requests})
            assert not answer.get("UnprocessedItems")
        self._empty.append(table)

    def _ask(self, operation: str, **parameters: Any) -> Any:
        """Send a request without boto3, which would take longer than the server does.

        Raises:
            LookupError: If there is no such table.
        """
        credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/20260101/eu-west-1/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=any",
        }
        assert self._server is not None
        connection = http.client.HTTPConnection(HOST, self._server.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/", json.dumps(parameters), headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        if answer.status == 400 and "ResourceNotFoundException" in content["__type"]:
            raise LookupError(parameters)
        assert answer.status == 200, content
        return content


MINISTACK = StandIn(new_ministack, "apt-get install python3-venv python3-pip; the tests do the rest")
DYNALITE = StandIn(
    new_dynalite,
    "apt-get install nodejs npm, or from https://nodejs.org (version 20 or newer); the tests do the rest",
    "&transactions=false",
)


def new_table() -> str:
    """Return a name that no table has."""
    return f"test_{uuid.uuid4().hex}"


def _answers(port: int) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):  # an answer all the same
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    return True
