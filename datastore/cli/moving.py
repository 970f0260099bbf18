"""The commands that move records: copy, export, import, import-legacy."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from datastore.cli.legacy import (
    CollidedChoice,
    CollidedOption,
    PruneOption,
    RejectsOption,
    RenameOption,
    RuleOption,
    open_source,
    refuse_same,
    rules_of,
    source_name,
)
from datastore.cli.progress import progress_bar
from datastore.cli.running import (
    INCOMPLETE,
    AnyNamespaceOption,
    AnyUserOption,
    JsonOption,
    fail,
    filtered,
    in_one_line,
    open_store,
    print_json,
    resolve,
    shown,
    warn,
)
from datastore.cli.show import printable
from datastore.ids import encode_name
from datastore.moving import OnProgress, Report, copy, export_records, import_legacy, import_records, migrate
from datastore.moving.files import BrokenFileError
from datastore.showing import number

_SHOWN = 20  # problems that are printed; --json has more
_KINDS = {
    "collided": "the value may be another user's",
    "mismatched": "the id does not match the fields; moved by the fields",
    "doubled": "another record with the same name was in the sink",
    "changed": "a field or a name had to be changed",
    "filled": "a field was missing",
    "gone": "only in the sink, from an earlier run; --prune removes it",
    "failed": "not moved",
    "differs": "read back differently",
}

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Also replace records that are newer in the sink.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not read back what was written.")]
FromStart = Annotated[bool, typer.Option("--from-start", help="Do not continue where an earlier run was interrupted.")]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Keeps the position, for the next run.",
        show_default="a file in $XDG_STATE_HOME/agent-datastore",
    ),
]
_ON = "interrupted; what has been done so far is kept, and the same command continues from there"
_STREAM = Path("-")  # standard input or output
_STANDARD_OUTPUT = (_STREAM, *map(Path, ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")))


def copy_command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The URL of the store to copy from.")],
    sink: Annotated[str, typer.Argument(metavar="SINK", help="The URL of the store to copy to.")],
    user: AnyUserOption = None,
    namespace: AnyNamespaceOption = None,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
    from_start: FromStart = False,
    checkpoint: CheckpointFile = None,
    json: JsonOption = False,
) -> None:
    """Copy whole records to another store: value, metadata, provenance, counts, revision, expiry.

    Each record is read back and compared. The command can be interrupted and
    repeated. Records that are newer in the sink are kept, and nothing is removed
    there.
    """
    with in_one_line(_ON):
        texts = resolve(source), resolve(sink)
        _check_names(user, namespace)
        file = _checkpoint(checkpoint, from_start, "copy", *texts, user, namespace)
        with open_store(texts[0]) as from_, open_store(texts[1], create=True) as to:
            report, seconds = _run(
                "copying",
                lambda on_progress: copy(
                    from_,
                    to,
                    user_id=user,
                    namespace=namespace,
                    overwrite=overwrite,
                    verify=not no_verify,
                    checkpoint=file,
                    on_progress=on_progress,
                ),
            )
        _finish(report, seconds, json, source=shown(texts[0]), sink=shown(texts[1]))
        _warn_if_none(report, user, namespace)


def migrate_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="The store that an earlier version wrote.")],
    sink: Annotated[
        str | None,
        typer.Argument(metavar="SINK", help="An empty store for its records; without it they are migrated in place."),
    ] = None,
    from_start: FromStart = False,
    checkpoint: CheckpointFile = None,
    json: JsonOption = False,
) -> None:
    """Bring a store that an earlier version wrote to the format of this one.

    On SQLite in place, in one transaction: what is interrupted leaves the file
    as it was. On a server the records are copied to SINK, each read back and
    compared, and the store stays as it is; that can be interrupted and
    repeated. Nothing else may write to the store meanwhile.
    """
    with in_one_line(_ON if sink is not None else "interrupted; the store is as it was"):
        text = resolve(url)
        if sink is None:
            report, seconds = _run("migrating", lambda on_progress: migrate(text, on_progress=on_progress))
            _finish(report, seconds, json, source=shown(text), sink=shown(text))
            return
        to_text = resolve(sink)
        file = _checkpoint(checkpoint, from_start, "migrate", text, to_text)
        with open_store(to_text, create=True) as to:
            report, seconds = _run(
                "migrating", lambda on_progress: migrate(text, to, checkpoint=file, on_progress=on_progress)
            )
        _finish(report, seconds, json, source=shown(text), sink=shown(to_text))


def export_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="The store.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="NAME.jsonl, NAME.jsonl.gz to compress it, or - for standard output.")
    ],
    user: AnyUserOption = None,
    namespace: AnyNamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write records to a file, one line of JSON each.

    The file appears when it is complete; until then it is FILE.part. A pipe or a
    device is written to directly. If the records go to standard output, the
    report goes to standard error.
    """
    _refuse_directory(file)
    with in_one_line("interrupted; nothing was kept, and the next run starts over"):
        text = resolve(url)
        to_output = file in _STANDARD_OUTPUT
        with open_store(text) as store:
            report, seconds = _run(
                "exporting",
                lambda on_progress: export_records(
                    store,
                    sys.stdout.buffer if file == _STREAM else file,
                    user_id=user,
                    namespace=namespace,
                    on_progress=on_progress,
                ),
            )
        _finish(report, seconds, json, on_error=to_output, source=shown(text), sink=_named(file, "output"))
        _warn_if_none(report, user, namespace)


def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'datastore export' wrote; - for standard input.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The store.")],
    user: AnyUserOption = None,
    namespace: AnyNamespaceOption = None,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
    accept_incomplete: Annotated[
        bool, typer.Option("--accept-incomplete", help="Accept a file that was cut off, or changed by hand.")
    ] = False,
    from_start: FromStart = False,
    checkpoint: CheckpointFile = None,
    json: JsonOption = False,
) -> None:
    """Import the records of an exported file into a store.

    The whole file is checked before anything is written; input from a pipe is
    kept in a temporary file for that. Each record is read back and compared. The
    command can be interrupted and repeated.
    """
    _refuse_directory(file)
    with in_one_line(_ON):
        text = resolve(url)
        _check_names(user, namespace)
        position = _checkpoint(checkpoint, from_start, "import", str(file.resolve()), text, user, namespace)
        with open_store(text, create=True) as store:
            report, seconds = _run(
                "importing",
                lambda on_progress: import_records(
                    sys.stdin.buffer if file == _STREAM else file,
                    store,
                    user_id=user,
                    namespace=namespace,
                    overwrite=overwrite,
                    verify=not no_verify,
                    accept_incomplete=accept_incomplete,
                    checkpoint=position,
                    on_progress=on_progress,
                ),
            )
        _finish(report, seconds, json, source=_named(file, "input"), sink=shown(text))
        _warn_if_none(report, user, namespace)


def import_legacy_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The URL of the old database; on SQLite ?table= names the table. Or the rejects of an earlier run.",
        ),
    ],
    sink: Annotated[str, typer.Argument(metavar="SINK_URL", help="The URL of the store.")],
    user: AnyUserOption = None,
    namespace: AnyNamespaceOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what would be moved.")] = False,
    timezone: Annotated[
        str,
        typer.Option(metavar="ZONE", help="The zone of times that were stored without one, such as Europe/Berlin."),
    ] = "UTC",
    collided: CollidedOption = CollidedChoice.HOLD,
    rule: RuleOption = None,
    rename: RenameOption = None,
    rejects: RejectsOption = None,
    prune: PruneOption = False,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
    from_start: FromStart = False,
    checkpoint: CheckpointFile = None,
    json: JsonOption = False,
) -> None:
    """Move in from a database in the legacy format: the same fields, with raw ids.

    The fields of a document say whose record it is, not its id. Provenance and
    counts are kept. A document that cannot be moved, or whose value may belong to
    another user, goes into a file, from which rules can move it later. The old
    database is only read. The command can be interrupted and repeated.
    """
    with in_one_line(_ON), contextlib.ExitStack() as opened:
        try:
            zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as error:
            raise typer.BadParameter(f"there is no time zone {timezone!r}") from error
        rules = rules_of(rule, rename, collided)
        texts = resolve(source), resolve(sink)
        refuse_same(*texts)
        parts = ("import-legacy", *texts, user, namespace)
        file = None if dry_run else _checkpoint(checkpoint, from_start, *parts)
        left = None if dry_run else rejects or _state_file("rejects.jsonl", *parts)
        old = opened.enter_context(contextlib.closing(open_source(texts[0])))
        store = None if dry_run else opened.enter_context(open_store(texts[1], create=True))
        report, seconds = _run(
            "reading" if dry_run else "moving in",
            lambda on_progress: import_legacy(
                old,
                store,
                user_id=user,
                namespace=namespace,
                zone=zone,
                rules=rules,
                rejects=left,
                overwrite=overwrite,
                prune=prune,
                verify=not no_verify,
                checkpoint=file,
                on_progress=on_progress,
            ),
        )
        _finish(
            report,
            seconds,
            json,
            source=source_name(texts[0]) or shown(texts[0]),
            sink=shown(texts[1]),
            rejects=str(left) if left is not None and report.rejected else "",
        )
        _warn_if_none(report, user, namespace)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("copy")(copy_command)
    app.command("migrate")(migrate_command)
    app.command("export")(export_command)
    app.command("import")(import_command)
    app.command("import-legacy")(import_legacy_command)


def _run(what: str, move: Callable[[OnProgress], Report]) -> tuple[Report, float]:
    began = time.monotonic()
    try:
        with progress_bar(what) as on_progress:
            report = move(on_progress)
    except BrokenFileError as error:
        fail(str(error))
    return report, time.monotonic() - began


def _identity(*parts: str | None) -> str:
    """Return text that tells one move from another and reveals nothing: URLs hold secrets."""
    return sha256("\0".join(part or "" for part in parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _checkpoint(given: Path | None, from_start: bool, what: str, *parts: str | None) -> Path | None:
    """Return the file that keeps a move's position: the given one, or the move's own in the user's state folder."""
    file = given or _state_file("json", what, *parts)
    if from_start and file is not None:
        file.unlink(missing_ok=True)
    return file


def _state_file(ending: str, what: str, *parts: str | None) -> Path | None:
    """Return a move's own file in the user's state folder; ``None`` if there cannot be one."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "agent-datastore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None  # the next run then starts over, and compares what is there already
    return folder / f"{what}-{_identity(*parts)}.{ending}" if os.access(folder, os.W_OK) else None


def _refuse_directory(file: Path) -> None:
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a directory; name a file in it")


def _check_names(user: str | None, namespace: str | None) -> None:
    """Refuse an invalid name before anything is opened: opening the sink creates it if it does not exist."""
    for name, given in (("user_id", user), ("namespace", namespace)):
        if given is not None:
            encode_name(given, name)


def _named(file: Path, stream: str) -> str:
    return f"standard {stream}" if file == _STREAM else str(file)


def _warn_if_none(report: Report, user: str | None, namespace: str | None) -> None:
    """Warn that the filters matched nothing: there may be a typing error in them."""
    found = report.written or report.unchanged or report.kept or report.counts.get("failed")
    if not found and (chosen := filtered(user, namespace)):
        warn(f"there are no records for {chosen}")


def _finish(report: Report, seconds: float, json: bool, *, on_error: bool = False, **ends: str) -> None:
    """Say what was done, and exit with 3 if not everything arrived."""
    if json:
        ends = {name: end for name, end in ends.items() if end}
        print_json({**ends, **report.as_json(), "seconds": round(seconds, 3)}, on_error=on_error)
    else:
        for line in _lines(report, seconds, ends):
            typer.echo(printable(line), err=on_error)
    if not report.complete:
        failed, differ = report.counts.get("failed", 0), report.counts.get("differs", 0)
        held = f", {report.rejected - failed:,} held back" if report.rejected > failed else ""
        fail(
            f"not everything arrived: {number(failed, 'record')} failed, {differ:,} read back differently{held}",
            INCOMPLETE,
        )


def _lines(report: Report, seconds: float, ends: dict[str, Any]) -> list[str]:
    lines = [f"{ends['source']} -> {ends['sink']}"]
    counted = (
        (
            "read",
            report.read,
            f"{report.resumed:,} of them by an earlier run" if report.resumed else "",
        ),
        ("ready", report.ready, "would be written; this was a dry run"),
        ("written", report.written, f"{report.replaced:,} replaced older ones" if report.replaced else ""),
        ("unchanged", report.unchanged, "there already"),
        ("kept", report.kept, "newer in the sink"),
        ("expired", report.expired, "left out"),
        ("left out", report.left_out, "by the filters"),
        ("pruned", report.pruned, "no longer in the source"),
        ("rejected", report.rejected, f"kept in {ends['rejects']}" if ends.get("rejects") else "not moved"),
        ("verified", report.verified, "read back and found equal"),
    )
    for name, count, remark in counted:
        if count or name in ("read", "written"):
            lines.append(f"{name:<10}{count:>12,}{'  ' + remark if remark else ''}")
    lines.extend(f"{kind:<10}{count:>12,}  {_KINDS.get(kind, '')}" for kind, count in report.counts.items())
    lines.extend(f"{problem.kind:<10}  {problem.where}: {problem.text}" for problem in report.problems[:_SHOWN])
    more = sum(report.counts.values()) - _SHOWN
    if more > 0:
        lines.append(f"... and {more:,} more; --json shows 200 of each kind")
    here = report.read - report.resumed
    if report.bytes or not report.verified:  # a migration in place reads no values, and so has no digest of them
        lines.append(f"digest      {report.digest[:16]}")
    lines.append(f"{number(here, 'record')} in {seconds:,.1f} s, {here / (seconds or 1e-9):,.0f} a second")
    return lines
