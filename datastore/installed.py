"""Which adapter serves the scheme of a URL, found without `importlib.metadata`, which takes longer to import.

`importlib.metadata` also finds what is installed as an archive, or through a hook. For that it imports parsers of
e-mail, archives and tables. But nearly every adapter is in a directory, and its entry points are a few lines of text.
What these files alone cannot tell is left to `importlib.metadata`.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator

_FILE = "entry_points.txt"
_METADATA = (".dist-info", ".egg-info")


def entry_point(group: str, name: str) -> tuple[str, str] | None:
    """Return the module and the attribute that an entry point names; ``None`` if only `importlib.metadata` can tell.

    Args:
        group: The group of the entry point.
        name: Its name.
    """
    # Kept, since looking takes longer than all the rest of opening a store. What is installed later is found by
    # `importlib.metadata`, and so is what takes the place of something that is gone.
    return _found(group, name, tuple(sys.path))


@functools.lru_cache(maxsize=16)
def _found(group: str, name: str, path: tuple[str, ...]) -> tuple[str, str] | None:
    projects, found = set[str](), set[str]()
    for directory in path:
        try:
            files = os.listdir(directory or ".")  # noqa: PTH208 - a Path takes twice as long
        except OSError:  # an archive, or not there
            continue
        for file in files:
            if not file.endswith(_METADATA):
                continue
            project = re.sub("[-_.]+", "-", file.rpartition(".")[0].partition("-")[0]).lower()
            if project not in projects:  # of several versions, the one that comes first on the path is imported
                projects.add(project)
                found.update(_values(f"{directory or '.'}/{file}/{_FILE}", group, name))
    if len(found) != 1:
        return None
    module, _, attribute = found.pop().partition(":")
    is_simple = all(part.isidentifier() for part in (*module.split("."), attribute))
    return (module, attribute) if is_simple else None


def _values(path: str, group: str, name: str) -> Iterator[str]:
    """Yield what a file says about an entry point."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a Path takes twice as long
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line
        elif section == f"[{group}]":
            key, equals, value = line.partition("=")
            if equals and key.strip() == name:
                yield value.strip()
