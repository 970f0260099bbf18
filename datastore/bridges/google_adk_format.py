"""How the sessions of Google's ADK are stored: their records, those of shared state, and events as entries of a log.

Names are joined by slashes; in each, ``%`` and ``/`` are percent-encoded: no two lists of names become the same. Long
keys are shortened (``datastore.limits.shorten_key``).

| what | where |
|---|---|
| a session | the record ``adk/<app>/<user>/<session>``: its state, and which entry of its log is the last event |
| its events | the log of the same name (shortened if it is too long; ``datastore.limits.shorten_name``) |
| state that begins with ``user:`` | the record ``adk-user/<app>/<user>`` |
| state that begins with ``app:`` | the record ``adk-app/<app>`` |
| an event of more than 1 MB | a blob ``adk/<part of the session's record>/...`` |

An entry is ``{"format": 1, "after": 3, "event": {...}}``, or has ``"blob": "<name>"`` in place of the event, whose
``after`` is the entry of the event before. Those count to which one comes from the session's record: of several that
were appended after the same one, the record leads to one.
"""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any, NamedTuple

from datastore import InvalidNameError, InvalidValueError, UnsupportedError, limits
from datastore.bridges.extras import needs
from datastore.bridges.given import path_of, text_of, unknown_format

with needs("Google ADK", "google-adk"):
    from google.adk.events import Event
    from google.adk.events.event_actions import EventActions
    from google.adk.sessions import Session, State
    from pydantic import ValidationError
    from pydantic_core import to_jsonable_python

FORMAT = 1  # as `head_of` and `shared` match it
SESSION, USER, APP = "adk/", "adk-user/", "adk-app/"
_REMEMBERED = 32  # of how many changes a record of shared state says that they were made
_ROOM = 32  # bytes that are left for the id of a session before its key is shortened, with what shortening adds


class Owner(NamedTuple):
    """Whose sessions they are, as ADK says it: an app's user. Neither is who uses the store."""

    app_name: str
    user_id: str

    @classmethod
    def of(cls, app_name: object, user_id: object) -> Owner:
        """Return the user of an app.

        Raises:
            InvalidNameError: If one is not text, is empty, or both are too long to be looked for.
        """
        owner = cls(text_of(app_name, "app_name"), text_of(user_id, "user_id"))
        if len(owner.prefix.encode()) > limits.MAX_KEY_BYTES - _ROOM:
            raise InvalidNameError(f"app_name and user_id take more than {limits.MAX_KEY_BYTES - _ROOM} bytes together")
        return owner

    @property
    def prefix(self) -> str:
        """What the keys of all its sessions begin with."""
        return f"{SESSION}{path_of((self.app_name, 'app_name'), (self.user_id, 'user_id'))}/"

    @property
    def user_key(self) -> str:
        return USER + path_of((self.app_name, "app_name"), (self.user_id, "user_id"))

    @property
    def app_key(self) -> str:
        return limits.shorten_key(APP + path_of((self.app_name, "app_name")))

    def path(self, session_id: object) -> str:
        """Return the name of a session. Raises `InvalidNameError` if the id is not text, or blank."""
        return limits.shorten_key(self.prefix + path_of((stripped(session_id), "session_id")))


def app_prefix(app_name: object) -> str:
    """Return what the keys of all sessions of an app begin with."""
    return f"{SESSION}{path_of((app_name, 'app_name'))}/"


def stripped(session_id: object) -> object:
    """Return the id of a session as ADK means it, which is without white space around it."""
    return session_id.strip() if isinstance(session_id, str) else session_id


# ---------------------------------------------------------------------------------------------------------- state


def new_head(owner: Owner, session_id: str, state: dict[str, Any], at: float, part: str) -> dict[str, Any]:
    """Return the value of a session's record before its first event."""
    names = {"app_name": owner.app_name, "user_id": owner.user_id, "id": session_id}
    events = {"first": 0, "last": 0, "event": None}
    return {"format": FORMAT, **names, "state": state, "updated": at, "part": part, **events}


def head_of(key: str, value: Any) -> dict[str, Any]:
    """Return the value of a session's record.

    Raises:
        UnsupportedError: If it is not of a format that this version knows.
    """
    match value:
        case {
            "format": 1,
            "app_name": str(),
            "user_id": str(),
            "id": str(),
            "state": dict(),
            "updated": int() | float(),
            "part": str(),
            "first": int(first),
            "last": int(last),
        } if 0 <= first <= last:
            match value.get("pending"):
                case None | {"id": str(), "user": dict(), "app": dict()}:
                    head: dict[str, Any] = value
                    return head
    raise unknown_format(f"record {key!r}", FORMAT)


def shared(key: str, value: Any) -> dict[str, Any]:
    """Return the value of a record of shared state; of one that is not there, an empty one.

    Raises:
        UnsupportedError: As `head_of`.
    """
    match value:
        case None:
            return {"format": FORMAT, "state": {}, "changes": []}
        case {"format": 1, "state": dict(), "changes": list()}:
            known: dict[str, Any] = value
            return known
    raise unknown_format(f"record {key!r}", FORMAT)


def changed(key: str, value: Any, id: str, delta: dict[str, Any]) -> dict[str, Any]:
    """Return the value of a record of shared state after a change, which is made once however often it is asked for."""
    before = shared(key, value)
    if id in before["changes"]:
        return before
    return {**before, "state": {**before["state"], **delta}, "changes": [*before["changes"], id][-_REMEMBERED:]}


def with_pending(head: dict[str, Any], user: dict[str, Any], app: dict[str, Any]) -> dict[str, Any]:
    """Return the value of a session's record with a change of shared state that is to be made, if there is one."""
    return {**head, "pending": {"id": uuid.uuid4().hex, "user": user, "app": app}} if user or app else head


def without_pending(head: dict[str, Any]) -> dict[str, Any]:
    """Return the value of a session's record after the change of shared state was made."""
    return {name: value for name, value in head.items() if name != "pending"}


def as_json(state: dict[str, Any] | None) -> dict[str, Any]:
    """Return state as ADK makes JSON of that in an event: what it cannot write becomes text, with a warning.

    What begins with ``temp:`` is left out.

    Raises:
        InvalidValueError: If a number in it is not finite.
    """
    kept = {key: value for key, value in (state or {}).items() if not key.startswith(State.TEMP_PREFIX)}
    _check_finite(kept)
    made: dict[str, Any] = EventActions(state_delta=kept).model_dump(mode="json")["state_delta"]
    return made


def _check_finite(state: dict[str, Any] | None) -> None:
    try:
        json.dumps(to_jsonable_python(state, inf_nan_mode="constants", serialize_unknown=True), allow_nan=False)
    except ValueError:
        raise InvalidValueError("state holds a number that is not finite; JSON has no such number") from None


def split(delta: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return what of a change is the session's, the user's and the app's."""
    parts: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = {}, {}, {}
    for key, value in delta.items():
        if key.startswith(State.USER_PREFIX):
            parts[1][key.removeprefix(State.USER_PREFIX)] = value
        elif key.startswith(State.APP_PREFIX):
            parts[2][key.removeprefix(State.APP_PREFIX)] = value
        else:
            parts[0][key] = value
    return parts


def session_of(
    head: dict[str, Any], user: dict[str, Any], app: dict[str, Any], revision: str, events: list[Event] | None = None
) -> Session:
    """Return a session, with the state that it shares, and with a change of that which is still to be made."""
    state = copy.deepcopy(head["state"])
    pending = head.get("pending") or {"id": None, "user": {}, "app": {}}
    for prefix, scope, value in ((State.APP_PREFIX, "app", app), (State.USER_PREFIX, "user", user)):
        late = {} if pending["id"] in value["changes"] else pending[scope]
        state.update({prefix + key: copy.deepcopy(one) for key, one in {**value["state"], **late}.items()})
    session = Session(
        id=head["id"],
        app_name=head["app_name"],
        user_id=head["user_id"],
        state=state,
        events=events or [],
        last_update_time=head["updated"],
    )
    session._storage_update_marker = revision  # what ADK's own services compare, to know a stale session
    return session


# --------------------------------------------------------------------------------------------------------- events


def dumped(event: Event) -> dict[str, Any]:
    """Return an event as ADK's own services store it.

    Raises:
        InvalidValueError: If ADK cannot make JSON of it, or would make null of a number in the state.
    """
    _check_finite(event.actions.state_delta)
    try:
        made: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    except ValueError:
        raise InvalidValueError("event holds what google-adk cannot make JSON of") from None
    return made


def event_of(value: Any, what: str) -> Event:
    """Return an event that was stored.

    Raises:
        UnsupportedError: If this version of ADK does not know what is in it.
    """
    try:
        return Event.model_validate(value)
    except ValidationError as error:
        raise UnsupportedError(f"the event in {what} is not what this version of google-adk reads") from error
