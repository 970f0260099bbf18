"""The variables of a run, and which of them have changed since the last entry of its journal.

Values are compared as JSON text, and only those that the program has looked at: nothing else can have changed. So an
entry holds the variables that changed, and making it takes time for those in use, not for all.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any, TypeAlias

from datastore.arguments import check_name
from datastore.values import decode, encode

Changes: TypeAlias = dict[str, Any]
"""``{"set": {name: value}, "removed": [name]}``, as entries hold it; a part that would be empty is left out."""


class State(MutableMapping[str, Any]):
    """The variables of a run (`Run.state`): a dict with text as keys and anything JSON as values.

    What is in it is saved with the next step, atomically, also where a list or dict in it was changed in place.
    """

    __slots__ = ("_live", "_saved")

    def __init__(self) -> None:
        self._saved: dict[str, str] = {}
        """The JSON text of each variable, as the journal has it."""
        self._live: dict[str, Any] = {}
        """Those that the program has in hand, or has set."""

    def __getitem__(self, name: str) -> Any:
        if name not in self._live:
            self._live[name] = decode(self._saved[name])
        if self._live[name] is _REMOVED:
            raise KeyError(name)
        return self._live[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._live[check_name(name, "name")] = value

    def __delitem__(self, name: str) -> None:
        self[name]
        self._live[name] = _REMOVED

    def __iter__(self) -> Iterator[str]:
        names = {**self._saved, **self._live}
        return iter([name for name in names if self._live.get(name) is not _REMOVED])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"State({', '.join(map(repr, self))})"


_REMOVED = object()


def changes(state: State) -> tuple[Changes, dict[str, str | None]]:
    """Return what has changed since the last entry, as the next one holds it, and for `saved`.

    Raises:
        InvalidValueError, ValueTooLargeError: If a variable cannot be stored; the message names it.
    """
    texts: dict[str, str | None] = {}
    set_: dict[str, Any] = {}
    removed: list[str] = []
    for name, value in state._live.items():
        if value is _REMOVED:
            if name in state._saved:
                removed.append(name)
                texts[name] = None
        elif (text := encode(value, f"state[{name!r}]")) != state._saved.get(name):
            set_[name] = value
            texts[name] = text
    found: Changes = {}
    if set_:
        found["set"] = set_
    if removed:
        found["removed"] = removed
    return found, texts


def saved(state: State, texts: dict[str, str | None]) -> None:
    """Note that what `changes` returned is in the journal."""
    for name, text in texts.items():
        if text is None:
            state._saved.pop(name, None)
            state._live.pop(name, None)
        else:
            state._saved[name] = text


def discard(state: State) -> None:
    """Make of the variables what they were after the last entry."""
    state._live.clear()


def replay(state: State, recorded: Changes | None) -> None:
    """Make of a state what it was after an entry.

    What the program has in hand stays the same object if it has the recorded value, as it has when the program does
    again what it did before. Anything else that it has made of a variable meanwhile is dropped.
    """
    recorded = recorded or {}
    saved(state, {name: encode(value) for name, value in recorded.get("set", {}).items()})
    saved(state, dict.fromkeys(recorded.get("removed", ())))
    for name, value in list(state._live.items()):
        if value is _REMOVED or encode(value) != state._saved.get(name):
            del state._live[name]


def whole(state: State) -> Changes:
    """Return all variables, as an entry holds them that does not build on earlier ones."""
    return {"set": dict(state)}


def restart(state: State, recorded: Changes | None) -> None:
    """Make of a state exactly what an entry holds that does not build on earlier ones."""
    state._saved.clear()
    state._live.clear()
    replay(state, recorded)
