"""A JSON value as HTML: as a tree that folds, as text with colours, and in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape

from datastore.showing import number
from datastore.values import encode
from datastore.viewer.text import visible

TREE, TEXT = 35_000, 25_000
"""Characters of HTML of a value as a tree and as text, about: a page has a size, whatever a value's is."""
_DEEPEST = 40
_FRAME = 100  # characters of HTML around what folds, about
_OPEN = 2
"""Levels that are unfolded at first."""
_LONGEST = 500  # characters of one text in a tree

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)')


def tree(value: Any, most: int = TREE) -> Markup:
    """Return a value as nested lists, which fold without a script.

    Args:
        value: The value.
        most: The most characters of HTML, about; what follows is left out, and said to be.
    """
    return Markup("").join(_Tree(most).parts(None, value, 0))


class _Tree:
    def __init__(self, most: int) -> None:
        self._left = most

    def parts(self, name: str | int | None, value: Any, depth: int) -> Iterator[Markup]:
        """Yield the HTML of a node and those in it."""
        label = _label(name)
        if not isinstance(value, dict | list) or not value:
            leaf = Markup('<div class="leaf">{}{}</div>').format(label, _scalar(value))
            self._left -= len(leaf)
            yield leaf
            return
        self._left -= len(label) + _FRAME
        is_object = isinstance(value, dict)
        size = number(len(value), "field" if is_object else "element")
        folded = Markup(" open") if depth < _OPEN else Markup("")
        yield Markup('<details{}><summary>{}<span class="size">{}</span></summary><div class="branch">').format(
            folded, label, f"{{{size}}}" if is_object else f"[{size}]"
        )
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for shown, (key, one) in enumerate(inner):
            if self._left <= 0 or depth >= _DEEPEST:
                yield Markup('<div class="leaf cut">… {} more, see the whole value</div>').format(
                    f"{len(value) - shown:,}"
                )
                break
            yield from self.parts(key, one, depth + 1)
        yield Markup("</div></details>")


def _label(name: str | int | None) -> Markup:
    if name is None:
        return Markup("")
    text = visible(name, 200) if isinstance(name, str) else escape(name)
    return Markup('<bdi class="name">{}</bdi>: ').format(text)


def _scalar(value: Any) -> Markup:
    if isinstance(value, str):
        return Markup('<bdi class="string">"{}"</bdi>').format(visible(_quoted(value[: _LONGEST + 1])[1:-1], _LONGEST))
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else "word"
    return Markup('<span class="{}">{}</span>').format(kind, visible(line(value, _LONGEST)))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def text(value: Any) -> str:
    """Return a value as JSON text with indents, for people to read and change."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except ValueError:  # an integer with more digits than the interpreter is set to convert
        return encode(value).strip()


def editable(value: Any) -> str:
    """Return a value as `text` does, with what cannot be seen in it as escapes of JSON: for a field to change it in."""
    written = text(value)
    if written.isprintable():
        return written
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in written)


def line(value: Any, most: int) -> str:
    """Return the beginning of a value's JSON, in one line. What is behind it is not looked at."""
    return _begin(value, most)[:most]


def _begin(value: Any, most: int) -> str:
    """Return at least the first characters of a value's JSON, and not much more."""
    if isinstance(value, str):
        return _quoted(value if len(value) <= most else value[: most + 1])
    if isinstance(value, dict | list) and value:
        inner, is_object = "", isinstance(value, dict)
        pairs = ((f"{_quoted(key)}: ", value[key]) for key in value) if is_object else (("", one) for one in value)
        for label, one in pairs:
            inner += (", " if inner else "") + label + _begin(one, most)
            if len(inner) > most:
                break
        return f"{{{inner}}}" if is_object else f"[{inner}]"
    return encode(value).strip()


def preview(value: Any, most: int = 120) -> Markup:
    """Return the beginning of a value, for a cell of a table."""
    return visible(_begin(value, most), most)


def coloured(written: str) -> tuple[Markup, bool]:
    """Return JSON text as HTML with its parts marked, and whether it was cut."""
    shown, left = written[:TEXT], TEXT
    parts, place = list[Markup](), 0
    for found in _TOKEN.finditer(shown):
        string, colon, digits, _ = found.groups()
        kind = "number" if digits else ("name" if colon else "string") if string else "word"
        token = Markup('<span class="{}">{}</span>').format(kind, visible(found[0], left))
        parts += [_lines(shown[place : found.start()]), token]
        place = found.end()
        left -= len(parts[-2]) + len(token)
        if left < 0:
            return Markup("").join(parts), True
    parts.append(_lines(shown[place:]))
    return Markup("").join(parts), len(written) > len(shown)


def _lines(between: str) -> Markup:
    """Return what stands between tokens: here alone a line may break."""
    return Markup("\n").join(map(visible, between.split("\n")))
