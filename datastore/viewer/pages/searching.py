"""Search across the namespaces of a user."""

from __future__ import annotations

from typing import Any

from datastore.errors import InvalidValueError, QueryError
from datastore.record import Record
from datastore.typed import parse_object
from datastore.viewer.visits import Page, Visit

_FOUND = 50


def search(visit: Visit) -> Page:
    """Show the records of all namespaces, or of those with a prefix, that match a filter.

    Requests: those of `AgentDataStore.find_in` with a limit of 51.
    """
    user, text, prefix = visit.needed("user"), visit.one("filter"), visit.one("prefix")
    found, problem = list[Record](), None
    if text.strip():
        try:
            wanted: dict[str, Any] = parse_object("filter", text)
            found = visit.agent(user).find_in(prefix, wanted, limit=_FOUND + 1)
        except (InvalidValueError, QueryError) as error:
            problem = error.message
    about = {"user": user, "filter": text, "prefix": prefix, "found": found[:_FOUND], "problem": problem}
    more = len(found) > _FOUND
    return Page("search.html", {**about, "more": more, "asked": bool(text.strip())}, 400 if problem else 200)
