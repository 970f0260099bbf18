"""Removing the records that a query finds: their number first, and only if it is still the same."""

from __future__ import annotations

from datastore.showing import number
from datastore.viewer.pages.choosing import kept_by, needed_by
from datastore.viewer.visits import Page, Visit


def ask(visit: Visit, problem: str | None = None) -> Page:
    """Show how many records there are to remove, and a field for the name of the namespace.

    Requests: those of `AgentDataStore.count`.
    """
    user, namespace = visit.needed("user"), visit.needed("namespace")
    asked = needed_by(visit)
    count = visit.agent(user, namespace).count(**asked.query)
    about = {"user": user, "namespace": namespace, "kept": kept_by(visit), "count": count, "problem": problem}
    return Page("remove.html", about, 200 if problem is None else 409)


def remove(visit: Visit) -> Page:
    """Remove them, if the name was typed and there are as many as were shown.

    Requests: those of `count`, and of `delete_where` or `clear`.
    """
    user, namespace = visit.needed("user"), visit.needed("namespace")
    asked = needed_by(visit)
    if visit.one("typed") != namespace:
        return ask(visit, "What was typed is not the name of the namespace. Nothing was removed.")
    data_store = visit.agent(user, namespace)
    if str(data_store.count(**asked.query)) != visit.one("count"):
        return ask(visit, "There are not as many any more as were shown. Nothing was removed.")
    if asked.filter is None and asked.meta is None:
        removed = data_store.clear(asked.prefix)
    else:
        removed = data_store.delete_where(asked.filter or {}, meta=asked.meta, prefix=asked.prefix)
    return Page("removed.html", {"user": user, "namespace": namespace, "removed": number(removed, "record")})
