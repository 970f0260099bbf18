"""How records look in a REPL and in Jupyter: always short, and fully escaped in HTML; and how counts are said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from reprlib import Repr
from typing import Any

_LONGEST = 200  # characters of a value
_KEYS = 5  # keys of a page that are shown in one line
_ROWS = 50  # records of a page that are shown in a table


def number(count: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun, such as ``1 record`` or ``2 records``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


class _Short(Repr):
    """Shows part of a value: the first elements of each container, the first and last characters of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist = 4, 8, 8
        self.maxstring, self.maxlong, self.maxother = 80, 40, 80

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Show a dict in its own order; the base class would sort it."""
        if level <= 0 and x:
            return "{...}"
        shown = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)
        ]
        return "{" + ", ".join([*shown, *(["..."] if len(x) > self.maxdict else [])]) + "}"


_short = _Short()


class Short:
    """Something whose ``repr`` is short."""

    __slots__ = ("_text",)

    def __init__(self, value: object) -> None:
        self._text = short(value)

    def __repr__(self) -> str:
        return self._text


def short(value: object) -> str:
    """Return the beginning of the ``repr`` of a value."""
    text = _short.repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def line_of(keys: Sequence[str], cursor: str | None) -> str:
    """Return a page of records in one line."""
    named = ", ".join([*map(short, keys[:_KEYS]), *(["..."] if len(keys) > _KEYS else [])])
    records = f"{len(keys):,} record{'' if len(keys) == 1 else 's'}{': ' if keys else ''}{named}"
    return f"Page({records}; cursor={short(cursor)})"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], number: int, more: str = "") -> str:
    """Return an HTML table with a limited number of rows; every cell is escaped.

    Args:
        heading: The names of the columns; may be empty.
        rows: The cells of each row.
        number: How many rows there are.
        more: A note below the table.
    """
    lines = ["<table>"]
    if heading:
        lines.append(f"<thead>{_row('th', heading)}</thead>")
    lines.append("<tbody>")
    lines += [_row("td", row) for row in islice(rows, _ROWS)]
    lines.append("</tbody></table>")
    notes = [f"{number - _ROWS:,} more records" if number > _ROWS else "", more]
    lines += [f"<p>{escape(note)}</p>" for note in notes if note]
    return "\n".join(lines)


def _row(cell: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(text)}</{cell}>' for text in cells)}</tr>"
