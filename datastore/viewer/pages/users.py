"""The users of a store, and the namespaces of one of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from datastore.agent import AgentDataStore
from datastore.calls.namespaces import namespaces_beside
from datastore.errors import InvalidValueError
from datastore.ids import AREAS
from datastore.scope import scope_of
from datastore.viewer.listing import slice_of
from datastore.viewer.visits import Page, Redirect, Visit

_USERS = 50
_PAGES = 20
"""Pages before this one that its address names, so that there is a way back: users are listed forward alone."""
_NAMESPACES = 50
_WITH_SIZES = 20


def users(visit: Visit) -> Page | Redirect:
    """Show the users, some at a time, and a field for the beginning of a name or the whole of one.

    Requests: those of `DataStore.users` with 51 users.
    """
    named = visit.maybe("user")
    if named is not None:
        return Redirect(visit.url("user", user=named))
    prefix, after = visit.maybe("prefix"), visit.maybe("after")
    found = list(visit.store.users(prefix=prefix, after=after, limit=_USERS + 1))
    before = visit.all("before")
    pages = {"previous": "", "next": ""}
    if before:
        pages["previous"] = visit.url("", prefix=prefix, after=before[-1], before=before[:-1])
    if len(found) > _USERS:
        way = [*before, *([after] if after else [])][-_PAGES:]
        pages["next"] = visit.url("", prefix=prefix, after=found[_USERS - 1], before=way)
    return Page("users.html", {"users": found[:_USERS], "prefix": prefix or "", "is_first": not after, **pages})


def user(visit: Visit) -> Page:
    """Show the namespaces of a user that hold something, some at a time; and how much, if that is asked for.

    Requests: those of `AgentDataStore.list_namespaces` with a limit of 52; with sizes with one of 22, and those of
    `namespace_stats` for the namespaces that are shown.
    """
    name = visit.needed("user")
    data_store = visit.agent(name)
    prefix, reverse, holding = visit.maybe("prefix"), visit.one("order") == "-", visit.one("with")
    with_sizes = bool(visit.one("sizes")) and not holding
    shown = slice_of(
        partial(_listing(data_store, holding), prefix),
        str,
        _WITH_SIZES if with_sizes else _NAMESPACES,
        after=visit.maybe("after"),
        before=visit.maybe("before"),
        reverse=reverse,
    )
    stats = None
    if with_sizes and shown.items:
        first = shown.items[-1 if reverse else 0]
        stats = {one.namespace: one for one in data_store.namespace_stats(prefix, start=first, end=shown.end)}
    about = {"user": name, "prefix": prefix or "", "reverse": reverse, "holding": holding, "areas": AREAS}
    return Page("user.html", {**about, "shown": shown, "stats": stats})


def _listing(data_store: AgentDataStore, holding: str) -> Callable[..., list[str]]:
    """Return what lists the namespaces that hold records, or something in one of the areas beside them."""
    if not holding:
        return data_store.list_namespaces
    if holding not in AREAS:
        raise InvalidValueError(f"with must be one of {', '.join(AREAS)}")
    return partial(namespaces_beside, scope_of(data_store), holding)
