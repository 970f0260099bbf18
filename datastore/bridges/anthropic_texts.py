"""What the model reads of Anthropic's memory tool: paths, numbered lines and directories.

It is what the SDK's own tool, which keeps files on a disk, says in the same case, to the letter.
"""

from __future__ import annotations

import posixpath
from itertools import takewhile
from typing import Any

from datastore.bridges.extras import needs
from datastore.bridges.given import unknown_format
from datastore.bridges.steps import Steps, ask

with needs("Anthropic's SDK", "anthropic"):
    from anthropic.lib.tools import ToolError

FORMAT = 1
ROOT = "memories"
MISSING = "The path {} does not exist. Please provide a valid path."
_PAGE = 200  # records of a directory that are asked for at once
_DIRECTORY_BYTES = 4096  # what most file systems say of a small directory


def key_of(path: str) -> str:
    """Return the key of the file of a path."""
    if not isinstance(path, str) or not path.startswith("/memories"):
        raise ToolError(f"Path must start with /memories, got: {path}")
    key = posixpath.normpath(f"{ROOT}/{path.removeprefix('/memories').lstrip('/')}")
    if key != ROOT and not key.startswith(f"{ROOT}/"):
        raise ToolError(f"Path {path} would escape /memories directory")
    return key


def parents_of(key: str) -> list[str]:
    """Return the keys of the files that directories on the way to a key would be, without that of all memories."""
    names = key.split("/")
    return ["/".join(names[:depth]) for depth in range(2, len(names))]


def file_of(text: str) -> dict[str, Any]:
    """Return the record of a file."""
    return {"format": FORMAT, "size": len(text.encode("utf-8", "replace")), "text": text}


def text_of(key: str, value: Any) -> str:
    """Return the text in the record of a file."""
    if isinstance(value, dict) and value.get("format") == FORMAT and isinstance(value.get("text"), str):
        return str(value["text"])
    raise unknown_format(f"record {key!r}", FORMAT)


def numbered(lines: list[str], first: int) -> str:
    """Return lines with their numbers."""
    return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, first))


def lines_with(text: str, part: str) -> list[int]:
    """Return the number of the line of each place where a part begins."""
    numbers, line, seen = [], 1, 0
    at = text.find(part)
    while at >= 0:
        line += text.count("\n", seen, at)
        seen = at
        numbers.append(line)
        at = text.find(part, at + 1)
    return numbers


def listing(path: str, key: str) -> Steps[str]:
    """Return what a directory shows: two levels, without what is hidden. What is below or hidden is jumped over.

    Raises:
        ToolError: If there is no such directory.
    """
    prefix, found = f"{key}/", dict[tuple[str, ...], int | None]()
    start, more, is_there = prefix, True, key == ROOT
    while more:
        page = yield ask(
            "find_records", prefix=prefix, start=start, limit=_PAGE, fields=["format", "size", "directory"]
        )
        for record in page.records:
            is_there = True
            if record.key < start:
                continue  # in the part of this page that is jumped over
            start = record.key + "\0"
            *names, last = record.key.removeprefix(prefix).split("/")
            names += [last] if last else []
            shown = [*takewhile(lambda name: not name.startswith("."), names)][:2]
            for depth in range(1, len(shown) + 1):
                is_directory = depth < len(names) or not last
                found.setdefault(tuple(shown[:depth]), None if is_directory else _size(record))
            deep = names[: min(len(shown) + 1, 2)]
            if len(names) > len(deep) or (not last and len(deep) > len(shown)):
                start = prefix + "/".join(deep) + "0"  # which follows the slash
        more = page.cursor is not None
    if not is_there:
        raise ToolError(MISSING.format(path))
    lines = [f"{_shown_size(_DIRECTORY_BYTES)}\t{path}"]
    for names, size in sorted(found.items(), key=lambda one: one[0]):
        bytes, end = (_DIRECTORY_BYTES, "/") if size is None else (size, "")
        lines.append(f"{_shown_size(bytes)}\t{path}/{'/'.join(names)}{end}")
    return "\n".join(
        [f"Here're the files and directories up to 2 levels deep in {path}, excluding hidden items:", *lines]
    )


def _size(record: Any) -> int:
    if record.value.get("format") != FORMAT or not isinstance(record.value.get("size"), int):
        raise unknown_format(f"record {record.key!r}", FORMAT)
    return int(record.value["size"])


def _shown_size(bytes: float) -> str:
    units = iter("BKMG")
    unit = next(units)
    while bytes >= 1024 and unit != "G":
        bytes, unit = bytes / 1024, next(units)
    return f"{bytes:.0f}{unit}" if bytes == int(bytes) else f"{bytes:.1f}{unit}"
