"""Vector indexes: vectors in fields of their own, and the search for the nearest (``find_nearest``).

A field of vectors is at the top level of a document, and has the number of dimensions in its name, because an index is
for one. Firestore limits the search to a range of names before it chooses the nearest (Firestore, Search with vector
embeddings). The index must have been created; the emulator needs none.
"""

from __future__ import annotations

from array import array
from typing import Any

import google.api_core.exceptions
import google.auth.exceptions
from google.cloud.firestore_v1.types import query as messages

from datastore.adapters.vectors import check_dimensions, examined
from datastore.administration import Diagnostic
from datastore.backend import Fields, IdRange
from datastore.errors import BackendUnavailableError, DataStoreError
from datastore_firestore.building import command, until_usable
from datastore_firestore.client import Settings
from datastore_firestore.documents import KEY, MOST_DIMENSIONS, fill_vector, vector_field
from datastore_firestore.failures import NAME, lacks_index
from datastore_firestore.reading import Reader

MOST = 1_000
"""The most that one search returns."""
_MEASURES = {"cosine": "COSINE", "dot": "DOT_PRODUCT", "euclidean": "EUCLIDEAN"}

_Query: Any = messages.StructuredQuery.pb()


def nearest(
    settings: Settings, reader: Reader, range: IdRange, vector: bytes, number: int, metric: str
) -> list[str] | None:
    """See `Backend.nearest`. An index answers for every metric.

    Requests: 1.
    """
    if len(vector) > 4 * MOST_DIMENSIONS or range.start >= range.end:
        return None
    query = _Query()
    query.from_.add(collection_id=settings.collection)
    for field in KEY:
        query.select.fields.add().field_path = field
    bounds = query.where.composite_filter
    bounds.op = _Query.CompositeFilter.Operator.Value("AND")
    for operator, id in (("GREATER_THAN_OR_EQUAL", range.start), ("LESS_THAN", range.end)):
        bound = bounds.filters.add().field_filter
        bound.field.field_path = "__name__"
        bound.op = _Query.FieldFilter.Operator.Value(operator)
        bound.value.reference_value = settings.prefix + id
    asked = query.find_nearest
    asked.vector_field.field_path = vector_field(vector)
    fill_vector(asked.query_vector, vector)
    asked.distance_measure = _Query.FindNearest.DistanceMeasure.Value(_MEASURES[metric])
    asked.limit.value = number
    try:
        found = reader.page(query, Fields.KEY, number)
    except DataStoreError as error:
        if lacks_index(error):
            return None
        raise
    if found.more and len(found.documents) + len(found.damaged) < number:
        raise BackendUnavailableError("the answer of Firestore broke off", backend=NAME)  # and it cannot be continued
    return [document.id for document in found.documents]


def ensure_vectors(settings: Settings, reader: Reader, range: IdRange, dimensions: int) -> str:
    """See `Backend.ensure_vectors`. It searches; if the index is missing, it is created through the administration API.

    Raises:
        UnsupportedError: If there are too many dimensions.
        PermissionDeniedError: If the index is missing and this process may not create it; the message has the command.
        BackendUnavailableError: If the index is still being built after ten minutes.

    Requests: 1; more while the index is built.
    """
    check_dimensions(dimensions, MOST_DIMENSIONS, NAME)
    probe = array("f", [1.0] * dimensions).tobytes()
    field = vector_field(probe)
    until_usable(
        settings,
        field,
        [{"field_path": field, "vector_config": {"dimension": dimensions, "flat": {}}}],
        command(settings, [f'{field},vector-config={{"dimension":"{dimensions}","flat":"{{}}"}}']),
        lambda: nearest(settings, reader, range, probe, 1, "cosine") is not None,
    )
    return field


def examine_vectors(client: Any, settings: Settings) -> Diagnostic:
    """Return which indexes of vectors a collection has.

    Requests: 1 of the administration API.
    """
    try:
        indexes = client.list_indexes(parent=f"{settings.root}/collectionGroups/{settings.collection}")
        names = [
            f"{field.field_path} ({index.state.name.lower()})"
            for index in indexes
            for field in index.fields
            if field.vector_config.dimension
        ]
    except (google.api_core.exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError) as error:
        return Diagnostic(True, f"cannot tell which indexes of vectors there are: {type(error).__name__}")
    return examined(names)
