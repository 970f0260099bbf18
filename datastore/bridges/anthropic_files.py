"""What the commands of Anthropic's memory tool do (`datastore.bridges.anthropic_memory`), for both of its tools.

The file ``/memories/a/b.txt`` is the record ``memories/a/b.txt``: ``{"format": 1, "size": 5, "text": "hello"}``. Its
directory is the record ``memories/a/``: ``{"format": 1, "directory": true}``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from datastore import BatchError, ConflictError, KeyExistsError
from datastore.bridges.anthropic_texts import (
    FORMAT,
    MISSING,
    ROOT,
    file_of,
    key_of,
    lines_with,
    listing,
    numbered,
    parents_of,
    text_of,
)
from datastore.bridges.extras import needs
from datastore.bridges.given import span_of
from datastore.bridges.steps import Asked, Steps, ask

with needs("Anthropic's SDK", "anthropic"):
    from anthropic.lib.tools import ToolError

if TYPE_CHECKING:
    from anthropic.types import beta


class _NoFileError(Exception):
    """There is no file under the key of an edit."""


class Files:
    """What each command does, as steps for both tools."""

    def __init__(self, ttl: float | timedelta | None) -> None:
        self._ttl = None if ttl is None else span_of(ttl, "ttl")

    def view(self, command: beta.BetaMemoryTool20250818ViewCommand) -> Steps[str]:
        key = key_of(command.path)
        value = None if key == ROOT else (yield ask("get", key))
        if value is None:
            return (yield from listing(command.path, key))
        lines = text_of(key, value).split("\n")
        first, shown = 0, lines
        if command.view_range and len(command.view_range) == 2:
            first, last = max(1, command.view_range[0]) - 1, command.view_range[1]
            shown = lines[first : len(lines) if last == -1 else last]
        return f"Here's the content of {command.path} with line numbers:\n" + numbered(shown, first + 1)

    def create(self, command: beta.BetaMemoryTool20250818CreateCommand) -> Steps[str]:
        key, exists = key_of(command.path), ToolError(f"File {command.path} already exists")
        if key == ROOT:
            raise exists
        records = yield _with_parents(key)
        if key in records or f"{key}/" in records:
            raise exists
        _check_way(key, ToolError(f"The path {command.path} leads through a file"), records)
        try:
            yield ask("add_many", {**_new_parents(key, records), key: file_of(command.file_text)}, ttl=self._ttl)
        except BatchError as error:
            if isinstance(error.outcomes[key], KeyExistsError):
                raise exists from error
            _pass_if_only_there(error)
        return f"File created successfully at: {command.path}"

    def str_replace(self, command: beta.BetaMemoryTool20250818StrReplaceCommand) -> Steps[str]:
        path, old, line = command.path, command.old_str, 0

        def replaced(text: str) -> str:
            nonlocal line
            lines = lines_with(text, old)
            if not lines:
                raise ToolError(f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}.")
            if text.count(old) > 1:
                raise ToolError(
                    f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: "
                    f"{', '.join(map(str, lines))}. Please ensure it is unique"
                )
            line = lines[0]
            return text.replace(old, command.new_str)

        lines = (yield from self._edit(path, replaced)).split("\n")
        first = max(0, line - 3)
        snippet = numbered(lines[first : line + 2], first + 1)
        return (
            f"The memory file has been edited. Here is the snippet showing the change (with line numbers):\n{snippet}"
        )

    def insert(self, command: beta.BetaMemoryTool20250818InsertCommand) -> Steps[str]:
        def inserted(text: str) -> str:
            lines, at = text.removesuffix("\n").split("\n") if text else [], command.insert_line
            if not 0 <= at <= len(lines):
                raise ToolError(
                    f"Invalid `insert_line` parameter: {at}. It should be within the range [0, {len(lines)}]."
                )
            new = "\n".join([*lines[:at], command.insert_text.rstrip("\n"), *lines[at:]])
            return new if new.endswith("\n") else f"{new}\n"

        yield from self._edit(command.path, inserted)
        return f"The file {command.path} has been edited."

    def delete(self, command: beta.BetaMemoryTool20250818DeleteCommand) -> Steps[str]:
        key = key_of(command.path)
        if key == ROOT:
            raise ToolError("Cannot delete the /memories directory itself")
        if not (yield ask("delete", key)) and not (yield ask("clear", f"{key}/")):
            raise ToolError(f"The path {command.path} does not exist")
        return f"Successfully deleted {command.path}"

    def rename(self, command: beta.BetaMemoryTool20250818RenameCommand) -> Steps[str]:
        old, new = key_of(command.old_path), key_of(command.new_path)
        exists = ToolError(f"The destination {command.new_path} already exists")
        if old == ROOT:
            raise ToolError("Cannot rename the /memories directory itself")
        if new == ROOT:
            raise exists
        records = yield _with_parents(new, old)
        if new in records or f"{new}/" in records:
            raise exists
        moved = [records[old]] if old in records else (yield ask("scan", f"{old}/")).records
        missing = None if moved else ToolError(f"The path {command.old_path} does not exist")
        if moved and new.startswith(f"{old}/"):
            raise ToolError(f"{command.old_path} cannot be moved into itself")
        _check_way(new, missing or ToolError(f"The path {command.new_path} leads through a file"), records)
        copies = {new + record.key.removeprefix(old): record.value for record in moved}
        try:
            yield ask("add_many", _new_parents(new, records) | copies, ttl=self._ttl)
        except BatchError as error:
            if any(isinstance(error.outcomes[key], KeyExistsError) for key in copies):
                raise exists from error
            _pass_if_only_there(error)
        if missing is not None:
            raise missing  # as in the SDK's own tool, after the directories were made
        for record in moved:
            yield from self._take_away(record, new + record.key.removeprefix(old))
        return f"Successfully renamed {command.old_path} to {command.new_path}"

    def clear(self) -> Steps[str]:
        yield ask("clear", f"{ROOT}/")
        return "All memory cleared"

    def _edit(self, path: str, change: Callable[[str], str]) -> Steps[str]:
        """Change a file's text, and return the new one. What others write meanwhile is not lost."""
        key = key_of(path)

        def changed(value: Any) -> dict[str, Any]:
            if value is None:
                raise _NoFileError
            return file_of(change(text_of(key, value)))

        try:
            if key == ROOT:
                raise _NoFileError
            value = yield ask("modify", key, changed, ttl=self._ttl, touch=self._ttl is not None)
        except _NoFileError:
            is_directory = key == ROOT or (yield ask("first", f"{key}/")) is not None
            raise ToolError(f"The path {path} is not a file." if is_directory else MISSING.format(path)) from None
        return text_of(key, value)

    def _take_away(self, record: Any, copy: str) -> Steps[None]:
        """Delete what was copied; if somebody has changed it meanwhile, copy that first."""
        while record is not None:
            try:
                yield ask("delete", record.key, if_revision=record.revision)
            except ConflictError:
                record = yield ask("get_record", record.key)
                if record is not None:
                    yield ask("set", copy, record.value, ttl=self._ttl)
            else:
                return


def _with_parents(key: str, *others: str) -> Asked:
    """Ask what there is of a key, as a file and as a directory, of its parents, and of other keys."""
    parents = parents_of(key)
    return ask("get_records", [key, f"{key}/", *others, *parents, *(f"{parent}/" for parent in parents)])


def _check_way(key: str, error: ToolError, records: dict[str, Any]) -> None:
    """Raise an error if one of the directories on the way to a key is a file."""
    if records.keys() & set(parents_of(key)):
        raise error


def _new_parents(key: str, records: dict[str, Any]) -> dict[str, Any]:
    """Return the records of the directories on the way to a key that there are not yet."""
    keys = [f"{parent}/" for parent in parents_of(key)]
    return {parent: {"format": FORMAT, "directory": True} for parent in keys if parent not in records}


def _pass_if_only_there(error: BatchError) -> None:
    """Go on if all that failed is that somebody else has just made one of the directories."""
    for outcome in error.outcomes.values():
        if outcome is not None and not isinstance(outcome, KeyExistsError):
            raise outcome from error
