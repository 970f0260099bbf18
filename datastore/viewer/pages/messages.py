"""What somebody has said: entries of a log, and values of records, that are messages as frameworks keep them."""

from __future__ import annotations

from typing import Any, NamedTuple

from markupsafe import Markup

from datastore.viewer.text import visible

_WITHIN = ("item", "message", "data")
"""In which fields a message is wrapped: by the bridges here, and by LangChain."""
_SAYS = ("content", "text", "message", "parts")
_WHO = ("role", "author", "sender")
_ROLES = frozenset({"human", "ai", "user", "assistant", "system", "developer", "tool", "function"})
_LISTS = ("messages", "history", "turns", "items")
_MOST, _FRAME = 12_000, 100  # characters of HTML of a conversation on the page of a record, and around a message


class Message(NamedTuple):
    """Somebody's words."""

    who: str | None
    """``None`` if the value does not say."""
    text: str | None
    """What it says; ``None`` for a value that is not a message."""


def message_in(value: Any) -> Message:
    """Return what a value says, if it is a message."""
    if isinstance(value, str):
        return Message(None, value)
    if not isinstance(value, dict):
        return Message(None, None)
    for name in _WITHIN:
        if isinstance(value.get(name), dict):
            inner = message_in(value[name])
            return inner if inner.who is not None else Message(_who(value), inner.text)
    return Message(_who(value), next((text for name in _SAYS if (text := _text(value.get(name))) is not None), None))


class Shown(NamedTuple):
    """A message on the page of a record."""

    who: Markup
    text: Markup | None


def conversation_in(value: Any) -> tuple[list[Shown], int] | None:
    """Return the messages in a value that is a conversation, as many as a page takes; and how many it has.

    It is one if it is a list of which each element says who speaks, or an object with such a list.
    """
    if isinstance(value, dict):
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    if not isinstance(value, list):
        return None
    messages = [message_in(one) for one in value]
    if any(one.who is None for one in messages) or all(one.text is None for one in messages):
        return None
    shown, left = list[Shown](), _MOST
    for one in messages:
        who, text = visible(one.who or "", 40), None if one.text is None else visible(one.text, 1_000)
        if len(text or "") > left:
            text = visible(one.text or "", 40)
        left -= len(who) + len(text or "") + _FRAME
        if left < 0:
            break
        shown.append(Shown(who, text))
    return shown, len(messages)


def _who(value: dict[str, Any]) -> str | None:
    kind = value.get("type")
    named = next((value[name] for name in _WHO if isinstance(value.get(name), str)), None)
    return named or (kind if isinstance(kind, str) and kind in _ROLES else None)


def _text(said: Any) -> str | None:
    """Return a text, or those of the parts of which it consists."""
    if isinstance(said, str):
        return said
    if not isinstance(said, list):
        return None
    parts = [one if isinstance(one, str) else message_in(one).text for one in said if isinstance(one, str | dict)]
    texts = [part for part in parts if part is not None]
    return "\n".join(texts) if texts else None
