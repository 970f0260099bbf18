"""How texts that anybody may have stored are shown: as text, whatever they hold, and nothing of them unseen."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from markupsafe import Markup, escape

from datastore.showing import number

_JOINERS = "\u200c\u200d"
"""They make one sign of several in Persian, in Indian scripts and in emoji: shown as they are between such signs."""


def visible(text: str, most: int | None = None) -> Markup:
    """Return text as HTML in which characters that cannot be seen are written as escapes, as the command shows them.

    So two keys that look alike are seen to differ, and an override of the direction turns nothing round.

    Args:
        text: Any text.
        most: The most characters that are shown.
    """
    cut = most is not None and len(text) > most
    shown = text[:most] if cut else text
    parts = [shown] if shown.isprintable() else [_one(shown, place) for place in range(len(shown))]
    found = Markup("").join(parts)
    return found + Markup('<span class="cut" title="cut here">…</span>') if cut else found


def plain(text: str, most: int = 100) -> str:
    """Return text that is shown where there can be no HTML, as in the title of a page."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:most])
    return shown + ("…" if len(text) > most else "")


def _one(text: str, place: int) -> Markup:
    character = text[place]
    if character.isprintable() or (character in _JOINERS and _joins(text, place)):
        return escape(character)
    name = unicodedata.name(character, "")
    title = f"U+{ord(character):04X} {name}".strip()
    escaped = character.encode("unicode_escape").decode()
    return Markup('<span class="control" title="{}">{}</span>').format(title, escaped)


def _joins(text: str, place: int) -> bool:
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return bool(before and after) and before > "\x7f" < after and before.isprintable() and after.isprintable()


def moment(time: datetime | None, otherwise: str = "never") -> Markup:
    """Return a time as HTML: in UTC, and by the page's script in the reader's zone."""
    if time is None:
        return escape(otherwise)
    utc = time.astimezone(UTC)
    text = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(utc.isoformat(), text, text)


def bytes_of(size: int) -> str:
    """Return a size for people."""
    if size < 1_000:
        return number(size, "byte")
    for unit in ("kB", "MB", "GB"):
        if size < 1_000_000 or unit == "GB":
            return f"{size / 1_000:,.1f} {unit}"
        size //= 1_000
    raise AssertionError
