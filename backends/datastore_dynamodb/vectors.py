"""Vector indexes: vectors in attributes of their own, the index on them, and the search of it.

An index takes vectors of one number of dimensions, and refuses an item whose attribute has another. So each number has
its own attribute and index, ``vector384`` for example, for all namespaces; the attribute ``vectorSpace`` says of which
namespace a vector is, and is what each search is limited to, before the nearest are chosen. DynamoDB brings the index
up to date after a write was acknowledged, as it does for every index (``SearchVectors``, August 2026).
"""

from __future__ import annotations

from typing import Any

import botocore

from datastore.adapters.vectors import check_dimensions, examined, numbers_of
from datastore.administration import Diagnostic
from datastore.backend import IdRange, Put, Restore
from datastore.errors import BackendUnavailableError, ThrottledError, UnsupportedError
from datastore.retry import Backoff
from datastore_dynamodb.client import Connection, InUseError, RefusedError
from datastore_dynamodb.codec import Attributes
from datastore_dynamodb.schema import NAME, PARTITION, SORT
from datastore_dynamodb.table import describe

SPACE = "vectorSpace"
MOST = 100
"""The most that one search returns (``TopK``)."""
MOST_DIMENSIONS = 4_096
"""The most dimensions of an index (``SearchVectorList``)."""
_BUILD_SECONDS = 600.0
_FIRST_LOOK, _LONGEST_PAUSE = 0.1, 5.0
_OLDER = f"botocore {botocore.__version__} does not know vector indexes; 1.44.8 and newer do"


def vector_attributes(write: Put | Restore) -> Attributes:
    """Return the attributes by which an index finds a document; none if no index is to find it."""
    vector = write.vector if isinstance(write, Put) else None
    if vector is None or len(vector) > 4 * MOST_DIMENSIONS:
        return {}
    return {_attribute_of(len(vector) // 4): {"L": _numbers(vector)}, SPACE: {"S": _space_of(write.id)}}


def nearest(connection: Connection, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
    """See `Backend.nearest`. The index is one by cosine; it cannot answer for another metric.

    Requests: 1.
    """
    if metric != "cosine" or not _is_known(connection):
        return None
    try:
        answer = connection.call(
            "search_vectors",
            TableName=connection.settings.table,
            IndexName=_index_of(len(vector) // 4),
            SearchVector=_numbers(vector),
            TopK=number,
            SearchConditionExpression="#space = :space",
            ProjectionExpression=f"{PARTITION}, {SORT}",
            ExpressionAttributeNames={"#space": SPACE},
            ExpressionAttributeValues={":space": {"S": _space_of(range.start)}},
        )
    except RefusedError as error:
        if error.code != "ValidationException":
            raise
        return None  # there is no such index, or it is being built
    ids = [f"{one['Item'][PARTITION]['S']}:{one['Item'][SORT]['S']}" for one in answer["SearchResults"]]
    return [id for id in ids if range.start <= id < range.end]


def ensure_vectors(connection: Connection, dimensions: int) -> str:
    """See `Backend.ensure_vectors`.

    Raises:
        UnsupportedError: If the client is too old, the table is not paid per request, or there are too many dimensions.
        PermissionDeniedError: If the index is missing and this process may not create it.
        BackendUnavailableError: If the index is still being built after ten minutes.

    Requests: 1; more while the index is built.
    """
    if not _is_known(connection):
        raise UnsupportedError(f"{_OLDER}; searches are exact", backend=NAME)
    check_dimensions(dimensions, MOST_DIMENSIONS, NAME)
    name, backoff = _index_of(dimensions), Backoff(_BUILD_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        table = describe(connection) or {}
        index = next((one for one in table.get("VectorIndexes", []) if one["IndexName"] == name), None)
        if index is not None and index["IndexStatus"] == "ACTIVE" and not index.get("Backfilling"):
            return name
        if index is None:
            if table.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
                raise UnsupportedError(
                    "vector indexes are for tables that are paid per request only; searches are exact", backend=NAME
                )
            try:
                connection.call("update_table", **_definition(connection.settings.table, table, dimensions))
                continue
            except (InUseError, ThrottledError):
                pass  # one index of a table is built at a time
        if not backoff.wait():
            raise BackendUnavailableError(
                f"the index {name} is still being built after {_BUILD_SECONDS:.0f} s; ask again later", backend=NAME
            )


def examine_vectors(connection: Connection, table: dict[str, Any]) -> Diagnostic:
    """Return which indexes of vectors a table has, from its description."""
    if not _is_known(connection):
        return Diagnostic(True, f"{_OLDER}: searches of memory are exact")
    return examined(
        [f"{one['IndexName']} ({str(one['IndexStatus']).lower()})" for one in table.get("VectorIndexes", [])]
    )


def _is_known(connection: Connection) -> bool:
    return hasattr(connection.client, "search_vectors")


def _definition(name: str, table: dict[str, Any], dimensions: int) -> dict[str, Any]:
    """Return the parameters of the ``UpdateTable`` that creates an index."""
    others = [one for one in table["AttributeDefinitions"] if one["AttributeName"] != SPACE]
    index = {
        "IndexName": _index_of(dimensions),
        "VectorAttribute": {"AttributeName": _attribute_of(dimensions)},
        "SearchSchema": [{"AttributeName": SPACE, "SearchSchemaElementType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
        "Dimensions": dimensions,
        "DistanceFunction": "COSINE",
    }
    return {
        "TableName": name,
        "AttributeDefinitions": [*others, {"AttributeName": SPACE, "AttributeType": "S"}],
        "VectorIndexUpdates": [{"Create": index}],
    }


def _attribute_of(dimensions: int) -> str:
    return f"vector{dimensions}"


def _index_of(dimensions: int) -> str:
    return f"vectors-{dimensions}"


def _space_of(id: str) -> str:
    """Return what the ids of the vectors of one namespace begin with."""
    return id.rpartition(":")[0]


def _numbers(vector: bytes) -> list[dict[str, str]]:
    # 9 digits tell every float32 from all others.
    return [{"N": f"{number + 0.0:.9g}"} for number in numbers_of(vector)]
