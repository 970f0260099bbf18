"""The users of a store, and the namespaces of one of them."""

from __future__ import annotations

from functools import partial

from datastore.viewer.listing import slice_of
from datastore.viewer.visits import Page, Redirect, Visit

_USERS = 50
_NAMESPACES = 50


def users(visit: Visit) -> Page | Redirect:
    """Show the users, some at a time, and a field for the name of one.

    Requests: those of `DataStore.users` with 51 users.
    """
    named = visit.maybe("user")
    if named is not None:
        return Redirect(visit.url("user", user=named))
    found = list(visit.store.users(after=visit.maybe("after"), limit=_USERS + 1))
    after = found[_USERS - 1] if len(found) > _USERS else None
    return Page("users.html", {"users": found[:_USERS], "after": after, "is_first": not visit.maybe("after")})


def user(visit: Visit) -> Page:
    """Show the namespaces of a user, some at a time; and how much they hold, if that is asked for.

    Requests: those of `AgentDataStore.list_namespaces` with a limit of 52; with sizes also with one of 2, and
    those of `namespace_stats` for the namespaces that are shown.
    """
    name = visit.needed("user")
    data_store = visit.agent(name)
    prefix, reverse = visit.maybe("prefix"), visit.one("order") == "-"
    shown = slice_of(
        partial(data_store.list_namespaces, prefix),
        str,
        _NAMESPACES,
        after=visit.maybe("after"),
        before=visit.maybe("before"),
        reverse=reverse,
    )
    stats = None
    if visit.one("sizes") and shown.items:
        first, last = (shown.items[-1], shown.items[0]) if reverse else (shown.items[0], shown.items[-1])
        following = [other for other in data_store.list_namespaces(start=last, limit=2) if other != last]
        found = data_store.namespace_stats(start=first, end=following[0] if following else None)
        stats = {one.namespace: one for one in found}
    about = {"user": name, "prefix": prefix or "", "reverse": reverse, "shown": shown, "stats": stats}
    return Page("user.html", about)
