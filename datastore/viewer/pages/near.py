"""The nearest neighbours of a record: those whose vectors are most like its own."""

from __future__ import annotations

from datastore.errors import ConfigurationError, EmbedderError
from datastore.memory.vectors import numbers_of, vector_of
from datastore.scope import scope_of
from datastore.viewer.pages.searching import hit_of
from datastore.viewer.pages.words import Hit
from datastore.viewer.visits import Page, Visit

_NEAREST = 20


def near(visit: Visit) -> Page:
    """Show the records of the namespace that are nearest to one of them, or to the first part of its text.

    Requests: those of `AgentDataStore.get_record`, 1 for the vector, and those of `Memory.search`.
    """
    user, namespace, key = visit.needed("user"), visit.needed("namespace"), visit.needed("key")
    about = {"user": user, "namespace": namespace, "key": key}
    data_store = visit.agent(user, namespace)
    found = data_store.get_record(key)
    if found is None:
        return Page("missing.html", about, 404)
    vector, hits, problem = vector_of(scope_of(data_store), found.revision), list[Hit](), ""
    if vector is not None:
        try:
            matches = data_store.memory.search(numbers_of(vector), _NEAREST + 1)
            hits = [hit_of(one) for one in matches if one.key != key][:_NEAREST]
        except (EmbedderError, ConfigurationError) as error:
            problem = error.message
    return Page("near.html", {**about, "vector": vector, "found": hits, "problem": problem}, 400 if problem else 200)
