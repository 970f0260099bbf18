"""The records of a namespace: in the order of keys, or those that match a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from datastore.errors import InvalidValueError, QueryError
from datastore.queries.language import LOGIC, META_FIELDS, parse_query
from datastore.queries.language import OPERATORS as _ON_FIELDS
from datastore.record import Record
from datastore.showing import number
from datastore.typed import parse_object
from datastore.viewer.listing import Slice, slice_of
from datastore.viewer.pages.choosing import asked_by, field_of, kept_by
from datastore.viewer.problems import Problem, problem_of
from datastore.viewer.visits import Page, Visit

_RECORDS = 50
_COLUMNS = 8  # of fields that are shown
_OFFERED = 24  # fields that are offered

OPERATORS = sorted({*LOGIC, *_ON_FIELDS})
"""Of the language of filters."""

_ORDERS = {
    "": "key",
    "-key": "key, last first",
    "-$updatedAt": "changed last first",
    "$updatedAt": "changed first first",
    "-$createdAt": "created last first",
    "$createdAt": "created first first",
    "-$accessCount": "read most first",
    "$accessCount": "read least first",
}


def records(visit: Visit) -> Page:
    """Show records of a namespace, some at a time.

    Requests: in the order of keys those of `AgentDataStore.iter_records` with a limit of 52; of a query those of
    `find_records` with a limit of 50, and of `explain` where that is asked for.
    """
    user, namespace = visit.needed("user"), visit.needed("namespace")
    data_store = visit.agent(user, namespace)
    columns = list(dict.fromkeys(visit.all("column")))[:_COLUMNS]
    kept = {**kept_by(visit), "explain": visit.one("explain")}
    shown = Slice["Record"]([], None, None)
    cursor, explained, problems = None, None, dict[str, Problem]()
    try:
        asked = asked_by(visit, problems)
        if not problems and asked.is_listing:
            listing = partial(data_store.iter_records, asked.prefix)
            after, before = visit.maybe("after"), visit.maybe("before")
            shown = slice_of(
                listing, attrgetter("key"), _RECORDS, after=after, before=before, reverse=asked.order == "-key"
            )
        elif not problems:
            query = {**asked.query, "sort": asked.sort, "limit": _RECORDS}
            page = data_store.find_records(**query, cursor=visit.maybe("cursor"))
            shown, cursor = Slice(list(page.records), None, None), page.cursor
            if kept["explain"]:
                explained = _in_words(data_store.explain(**query))
    except QueryError as error:
        place = _place(error)
        problems[place] = problem_of(error.message, visit.one(place), place)
    about = {
        "user": user,
        "namespace": namespace,
        "kept": kept,
        "columns": columns,
        "offered": _fields(shown.items, columns),
        "words": {"filter": OPERATORS, "meta": [*META_FIELDS, *OPERATORS]},
        "orders": _orders(columns, kept["order"]),
        "shown": shown,
        "cells": [[field_of(one.value, column) for column in columns] for one in shown.items],
        "cursor": cursor,
        "is_first": not visit.maybe("cursor"),
        "is_query": bool(kept["filter"] or kept["meta"] or kept["order"] not in ("", "-key")),
        "explained": explained,
        "problems": problems,
    }
    return Page("records.html", about, 400 if problems else 200)


def check(visit: Visit) -> Page:
    """Say whether a filter that is being typed is one. It asks the store for nothing."""
    name = "meta" if visit.one("of") == "meta" else "filter"
    text, problem = visit.one(name), None
    try:
        if text.strip():
            parse_query(**{"filter": None, name: parse_object(name, text)})
    except (InvalidValueError, QueryError) as error:
        problem = problem_of(error.message, text, name)
    return Page("check.html", {"problem": problem, "said": "This is a filter." if text.strip() else ""})


def _place(error: QueryError) -> str:
    """Return the field of the form that an error is about: a message begins with the name of the argument."""
    return next((name for name in ("meta", "sort", "cursor") if error.message.startswith(name)), "filter")


def _orders(columns: Sequence[str], chosen: str) -> dict[str, str]:
    """Return by what the records can be sorted: by key, by provenance, and by the columns that are shown."""
    found = dict(_ORDERS)
    for column in columns:
        found |= {column: f"{column}, least first", f"-{column}": f"{column}, greatest first"}
    return found if chosen in found else found | {chosen: chosen}


def _fields(found: Sequence[Record], columns: Sequence[str]) -> list[str]:
    """Return the fields that the values on the page have, for columns."""
    names = dict.fromkeys(columns)
    inner = dict[str, None]()
    for one in found:
        if isinstance(one.value, dict):
            plain = [name for name in one.value if _is_plain(name)]
            names.update(dict.fromkeys(plain))
            within = [(name, one.value[name]) for name in plain if isinstance(one.value[name], dict)]
            inner.update(dict.fromkeys(f"{name}.{key}" for name, value in within for key in value if _is_plain(key)))
    return list(names | inner)[:_OFFERED]


def _is_plain(name: str) -> bool:
    """Return whether a field can be named in a path."""
    return bool(name) and len(name) <= 60 and "." not in name and not name.startswith(("$", "-"))


def _in_words(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a database answers a query: sentences, and the parts that they are about."""
    read, returned = plan["documents_read"], plan["documents_returned"]
    sentences = [f"{number(read, 'document')} read, {number(returned, 'record')} of the first page returned."]
    if plan["index"]:
        sentences.append(f"The index {plan['index']} was used.")
    else:
        sentences.append("No declared index was used.")
    sentences.append(
        "The database narrows down by what is below." if plan["pushed"] else "The database narrows nothing down."
    )
    if plan["checked_here"]:
        sentences.append("The rest is checked here, on each document that was read.")
    if plan["sorted_here"]:
        sentences.append("The records are sorted here, so all that match are read.")
    return {"sentences": sentences, "plan": plan}
