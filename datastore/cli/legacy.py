"""What the command import-legacy takes besides a source and a sink: rules, and a file for what cannot be moved."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from datastore.administration import LegacySource
from datastore.connecting import connect_legacy, place_of
from datastore.errors import ConfigurationError
from datastore.moving.rejects import RejectsFile
from datastore.moving.rules import Rules, parse_rename


class Rule(StrEnum):
    """A rule that changes what cannot be moved as it is."""

    SHORTEN = "shorten"
    SPLIT = "split"


class CollidedChoice(StrEnum):
    """What happens to a record whose value may belong to another user."""

    HOLD = "hold"
    FIELDS = "fields"
    OTHER = "other"


RejectsOption = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="The file for what is not moved, with the reasons; it can be a SOURCE later.",
        show_default="a file in $XDG_STATE_HOME/agent-datastore",
    ),
]
CollidedOption = Annotated[
    CollidedChoice,
    typer.Option(
        help="Records whose value may belong to another user: hold them back, or trust the fields, or move them to the "
        "other user."
    ),
]
RuleOption = Annotated[
    list[Rule] | None,
    typer.Option("--rule", help="shorten: cut names that are too long; split: divide values that are too large."),
]
RenameOption = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="FIELD:OLD=NEW", help="Rename a user, namespace or key; may be repeated."),
]
PruneOption = Annotated[
    bool,
    typer.Option(
        "--prune", help="Remove imported records that have not changed since and that the source no longer has."
    ),
]


def rules_of(rules: Sequence[Rule] | None, renames: Sequence[str] | None, collided: CollidedChoice) -> Rules:
    """Return the rules that the options name.

    Raises:
        typer.BadParameter: If a renaming is malformed.
    """
    chosen = set(rules or ())
    try:
        rename = dict(map(parse_rename, renames or ()))
    except ConfigurationError as error:
        raise typer.BadParameter(error.message) from error
    return Rules(Rule.SHORTEN in chosen, Rule.SPLIT in chosen, rename, collided.value)


def open_source(source: str) -> LegacySource:
    """Open a database in the legacy format, or a file of rejects."""
    return connect_legacy(source) if _is_url(source) else RejectsFile(Path(source))


def source_name(source: str) -> str | None:
    """Return the name to show for a source that is not a URL; ``None`` for a URL."""
    return None if _is_url(source) else source


def refuse_same(source: str, sink: str) -> None:
    """Refuse to move a database into itself, however its URL is spelled.

    Raises:
        ConfigurationError: If the two are the same database.
    """
    if not _is_url(source):
        return
    place = place_of(source)
    if place is not None and place == place_of(sink):
        raise ConfigurationError(
            "source and sink are the same database; the records have to move into another one: name a new database as "
            "the sink"
        )


def _is_url(source: str) -> bool:
    return "://" in source
