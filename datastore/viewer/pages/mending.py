"""Changing one record: under the revision that was opened, so that nothing of an agent's is overwritten unseen."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from datastore.agent import AgentDataStore
from datastore.errors import (
    ConflictError,
    DataStoreError,
    InvalidNameError,
    InvalidValueError,
    KeyExistsError,
    ValueTooLargeError,
    logger,
)
from datastore.memory import Splitter
from datastore.memory.vectors import Stored, numbers_of, vector_of
from datastore.record import Record
from datastore.scope import scope_of
from datastore.showing import number
from datastore.typed import parse_json, parse_object
from datastore.values import encode
from datastore.viewer.problems import Problem, problem_of
from datastore.viewer.values import editable
from datastore.viewer.visits import Page, Redirect, Visit

_LINES = 1_500  # of two values together; the differences of longer ones are not looked for
_NEVER = ("", "never")
_MISTAKES = (InvalidNameError, InvalidValueError, ValueTooLargeError)
"""What the store says of something that was typed, before it asks the database."""


class Entered(NamedTuple):
    """What somebody has typed into the form of a record."""

    value: Any
    metadata: dict[str, Any]


def edit(visit: Visit) -> Page:
    """Show a record for changing it.

    Requests: those of `AgentDataStore.get_record`, and 1 for its vector.
    """
    name = named(visit)
    found = _found(visit)
    if found is None:
        return Page("missing.html", name, 404)
    has_vector = _vector(visit, found) is not None
    shown = {"value": editable(found.value), "metadata": editable(found.metadata), "revision": found.revision}
    kept = {"expires_at": found.expires_at, "has_vector": has_vector}
    return Page("edit.html", {**name, **shown, **kept, "problems": {}})


def save(visit: Visit) -> Page | Redirect:
    """Store what was typed, if the record is still as it was when it was opened.

    Its vector stays if only the metadata has changed; a new text gets a new one, where the host has an embedder.

    Requests: those of `get_record` and `set`, and 1 for its vector; of `get_record` once more where somebody else was
    first. With a vector, those of a `set` with one, or of `Memory.embed`.
    """
    name, revision = named(visit), visit.needed("revision")
    entered, problems = _entered(visit)
    current = _found(visit)
    if current is None:
        return _form(visit, problems or {"value": "Somebody has deleted it meanwhile, or it has expired."}, 409)
    if entered is None:
        return _form(visit, problems, 400, current)
    if current.revision != revision:
        return _conflict(visit, current)
    changes = {key: None for key in current.metadata if key not in entered.metadata} | entered.metadata
    data_store = visit.agent(name["user"], name["namespace"])
    old = _vector(visit, current)
    stays = old is not None and not old.parts and encode(entered.value) == encode(current.value)
    try:
        data_store.set(
            name["key"],
            entered.value,
            changes,
            ttl=_left(visit, current),
            if_revision=revision,
            vector=numbers_of(old) if old is not None and stays else None,
        )
    except ConflictError:
        current = _found(visit)
        if current is None:
            return _form(visit, {"value": "Somebody has deleted it meanwhile."}, 409)
        return _conflict(visit, current)
    except _MISTAKES as error:
        return _form(visit, {"value": error.message}, 400, current)
    if old is not None and not stays:
        _embed(visit, data_store, name["key"], old.split)
    return Redirect(visit.url("record", **name))


def _embed(visit: Visit, data_store: AgentDataStore, key: str, split: Splitter | None) -> None:
    """Make a vector of what was stored, if the host can: the record is there whether or not that works."""
    if not visit.has_embedder:
        return
    try:
        data_store.memory.embed([key], split=split)
    except DataStoreError as error:
        logger().warning("the viewer has stored a record, and could make no vector of it: %s", type(error).__name__)


def check(visit: Visit) -> Page:
    """Say whether what is being typed is JSON. It asks the store for nothing."""
    which = "metadata" if visit.one("of") == "metadata" else "value"
    size = number(len(visit.one(which).encode()), "byte")
    problem = _placed(visit, _entered(visit)[1]).get(which)
    return Page("check.html", {"problem": problem, "said": f"This is JSON, {size} as it is written."})


def new(visit: Visit) -> Page:
    """Show an empty form."""
    return Page("new.html", {**_place(visit), "entered": {}, "problems": {}})


def create(visit: Visit) -> Page | Redirect:
    """Store a new record; one that is there stays as it is.

    Requests: those of `AgentDataStore.add`, and of `Memory.embed` if it is to be found by meaning.
    """
    place, key = _place(visit), visit.one("key")
    entered, problems = _entered(visit)
    if entered is not None:
        try:
            ttl = _seconds(visit.one("ttl"))
            data_store = visit.agent(place["user"], place["namespace"])
            data_store.add(key, entered.value, entered.metadata, ttl=ttl)
            if visit.one("embed"):
                _embed(visit, data_store, key, None)
            return Redirect(visit.url("record", **place, key=key))
        except KeyExistsError:
            problems["key"] = "There is a record with this key. Open it to change it."
        except _MISTAKES as error:
            problems[next((field for field in ("ttl", "key") if error.message.startswith(field)), "value")] = (
                error.message
            )
    kept = {field: visit.one(field) for field in ("key", "value", "metadata", "ttl", "embed")}
    return Page("new.html", {**place, "entered": kept, "problems": _placed(visit, problems)}, 400)


def touch(visit: Visit) -> Redirect:
    """Move the time when a record expires.

    Requests: those of `AgentDataStore.touch`.
    """
    name = named(visit)
    visit.agent(name["user"], name["namespace"]).touch(name["key"], ttl=_seconds(visit.one("ttl")))
    return Redirect(visit.url("record", **name))


def rename(visit: Visit) -> Page | Redirect:
    """Store a record under another key, and remove it under the old one, if nobody has changed it meanwhile.

    Requests: those of `get_record`, `add` and `delete`, and 1 for its vector; with one those of `Memory.embed`.
    """
    name, to = named(visit), visit.one("to")
    found = _found(visit)
    if found is None:
        return Page("missing.html", name, 404)
    data_store = visit.agent(name["user"], name["namespace"])
    added = data_store.add(to, found.value, found.metadata, ttl=_left(visit, found))
    try:
        data_store.delete(name["key"], if_revision=visit.needed("revision"))
    except ConflictError:
        data_store.delete(to, if_revision=added)
        return Page(
            "error.html", {"message": "Somebody has changed it meanwhile: look again.", "retryable": False}, 409
        )
    if (old := _vector(visit, found)) is not None:
        _embed(visit, data_store, to, old.split)
    return Redirect(visit.url("record", **{**name, "key": to}))


def delete(visit: Visit) -> Page:
    """Remove a record, if it is still as it was when it was opened, and offer to bring it back.

    Requests: those of `get_record` and `delete`, and 1 for its vector.
    """
    name = named(visit)
    found = _found(visit)
    if found is None:
        return Page("missing.html", name, 404)
    has_vector = _vector(visit, found) is not None
    try:
        visit.agent(name["user"], name["namespace"]).delete(name["key"], if_revision=visit.needed("revision"))
    except ConflictError:
        message = "Somebody has changed it since you opened it: look again before you delete it."
        return Page("error.html", {"message": message, "retryable": False}, 409)
    left = _left(visit, found)
    kept = {"value": editable(found.value), "metadata": editable(found.metadata), "ttl": "" if left is None else left}
    kept["embed"] = "1" if has_vector else ""
    return Page("deleted.html", {**name, "kept": kept})


# ------------------------------------------------------------------------------------------------ what forms bring


def named(visit: Visit) -> dict[str, str]:
    """Return which record a page is about."""
    return {**_place(visit), "key": visit.needed("key")}


def _place(visit: Visit) -> dict[str, str]:
    return {"user": visit.needed("user"), "namespace": visit.needed("namespace")}


def _found(visit: Visit) -> Record | None:
    name = named(visit)
    return visit.agent(name["user"], name["namespace"]).get_record(name["key"])


def _vector(visit: Visit, found: Record) -> Stored | None:
    return vector_of(scope_of(visit.agent(found.user_id, found.namespace)), found.revision)


def _entered(visit: Visit) -> tuple[Entered | None, dict[str, str]]:
    """Return what was typed, or what is wrong with it, by field."""
    problems = dict[str, str]()
    value, metadata = None, dict[str, Any]()
    try:
        value = parse_json("value", visit.one("value"))
    except InvalidValueError as error:
        problems["value"] = error.message
    try:
        metadata = parse_object("metadata", visit.one("metadata").strip() or "{}")
    except InvalidValueError as error:
        problems["metadata"] = error.message
    return (None if problems else Entered(value, metadata)), problems


def _seconds(text: str) -> float | None:
    """Return a time to live as it is typed; nothing is for ever."""
    if text.strip().lower() in _NEVER:
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidValueError("ttl is no number of seconds; leave it empty for a record that stays") from None


def _left(visit: Visit, found: Record) -> float | None:
    """Return how long a record has still to live, so that a write leaves that as it is, but for some milliseconds."""
    if found.expires_at is None:
        return None
    return max(found.expires_at.timestamp() - visit.store._core.clock(), 0.001)


def _form(visit: Visit, problems: dict[str, str], status: int, current: Record | None = None) -> Page:
    kept = {field: visit.one(field) for field in ("value", "metadata", "revision")}
    expires_at = None if current is None else current.expires_at
    about = {**named(visit), **kept, "problems": _placed(visit, problems), "expires_at": expires_at}
    return Page("edit.html", {**about, "has_vector": False}, status)


def _placed(visit: Visit, problems: Mapping[str, str]) -> dict[str, Problem]:
    """Return what is wrong with what was typed, with the place in it."""
    return {
        field: problem_of(message, visit.one(field)) if field in ("value", "metadata") else Problem(message)
        for field, message in problems.items()
    }


# ---------------------------------------------------------------------------------------------------- two versions


class Side(NamedTuple):
    """A line of a version, and whether the other version lacks it."""

    text: str
    differs: bool


def _conflict(visit: Visit, current: Record) -> Page:
    """Show what was typed beside what is stored now. What is sent from here is under the new revision."""
    theirs = {"value": editable(current.value), "metadata": editable(current.metadata)}
    mine = {field: _tidy(visit.one(field)) for field in theirs}
    sides = {field: sides_of(mine[field], theirs[field]) for field in theirs}
    about = {**named(visit), "current": current, "mine": mine, "sides": sides}
    return Page("conflict.html", about, 409)


def _tidy(text: str) -> str:
    """Return JSON text as the other version is written, so that only differences of values are ones."""
    try:
        return editable(parse_json("value", text or "{}"))
    except InvalidValueError:
        return text


def sides_of(mine: str, theirs: str) -> tuple[list[Side], list[Side]]:
    """Return the lines of two versions, each with whether the other version has another one there."""
    left, right = mine.splitlines(), theirs.splitlines()
    if len(left) + len(right) > _LINES:
        return [Side(line, False) for line in left], [Side(line, False) for line in right]
    in_left, in_right = [True] * len(left), [True] * len(right)
    for block in SequenceMatcher(None, left, right).get_matching_blocks():
        in_left[block.a : block.a + block.size] = [False] * block.size
        in_right[block.b : block.b + block.size] = [False] * block.size
    return list(map(Side, left, in_left)), list(map(Side, right, in_right))
