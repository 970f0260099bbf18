"""The commands about tokens: token mint, token list, token revoke."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datastore.cli.running import (
    NOT_FOUND,
    AnyUserOption,
    JsonOption,
    UrlOption,
    fail,
    in_one_line,
    open_store,
    print_json,
)
from datastore.cli.show import printable
from datastore.errors import ConfigurationError
from datastore.quotas import Quota
from datastore.showing import number
from datastore.times import format_time

if TYPE_CHECKING:
    from datastore.tokens import Token

commands = typer.Typer(help="Make, list and end tokens: what to hand out instead of a password.", no_args_is_help=True)


@commands.command()
def mint(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose data it opens.")],
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent that its holder is.")],
    url: UrlOption = None,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="The namespace that its holder begins in.")
    ] = "default",
    grant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN=read|write",
            help="What it may do, such as 'shared/*=read'. May be repeated.",
            show_default="everything",
        ),
    ] = None,
    records: Annotated[
        int | None, typer.Option(metavar="N", help="The most records that its holder may store.")
    ] = None,
    bytes: Annotated[int | None, typer.Option(metavar="N", help="The most bytes that its holder may store.")] = None,
    calls_per_minute: Annotated[
        int | None, typer.Option(metavar="N", help="The most calls that its holder may make in a minute, at a server.")
    ] = None,
    call: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A call that its holder may make at a server, such as 'get' or 'find*'. May be repeated.",
            show_default="all",
        ),
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long it is valid.", show_default="for ever")
    ] = None,
    label: Annotated[str, typer.Option(metavar="TEXT", help="What to call it in listings.")] = "",
    file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Write it to a new file that nobody else can read."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a token and print it. Nobody can see it again: the store keeps its hash."""
    with in_one_line(), open_store(url, write=True) as store:
        quota = None
        if not records is bytes is calls_per_minute is None:
            quota = Quota(records=records, bytes=bytes, calls_per_minute=calls_per_minute)
        given: Any = None if grant is None else dict(map(_grant, grant))
        # Before it is made: a token that could not be written down could not be used.
        target = None if file is None else _new_file(file)
        try:
            token = store.tokens.mint(
                user, agent, namespace, grants=given, quota=quota, calls=call, ttl=ttl, label=label
            )
            if target is not None:
                os.write(target, f"{token}\n".encode())
        except BaseException:
            if file is not None:
                file.unlink()
            raise
        finally:
            if target is not None:
                os.close(target)
        shown = _as_json(store.tokens.check(token))
        if json:
            print_json(shown if file is not None else {"token": token, **shown})
        else:
            typer.echo(token if file is None else f"{shown['id']}: the token is in {printable(str(file))}")


@commands.command("list")
def list_(url: UrlOption = None, user: AnyUserOption = None, json: JsonOption = False) -> None:
    """List the tokens that are valid, the oldest first. The tokens themselves are not shown: nobody has them."""
    with in_one_line(), open_store(url) as store:
        tokens = store.tokens.list(user)
        if json:
            for token in tokens:
                print_json(_as_json(token))
            return
        for token in tokens:
            grants = token.grants
            may = (
                "everything"
                if grants is None
                else ", ".join(f"{name}={do}" for name, do in grants.items()) or "nothing"
            )
            stores = _limits(token.quota)
            if token.calls is not None:
                stores += f", by {' '.join(token.calls) or 'no call'}"
            ends = "never" if token.expires_at is None else format_time(token.expires_at.timestamp())
            of = f", of {token.parent}" if token.parent else ""
            named = f" ({token.label})" if token.label else ""
            typer.echo(
                printable(
                    f"{token.id}  {token.user_id} {token.agent}{named}: {may}{stores} in {token.namespace}; "
                    f"ends {ends}{of}"
                )
            )


@commands.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `datastore token list` shows it.")],
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """End a token, and all that were narrowed from it."""
    with in_one_line(), open_store(url, write=True) as store:
        revoked = store.tokens.revoke(token)
        if json:
            print_json({"revoked": revoked})
        elif revoked:
            typer.echo(f"revoked {number(revoked, 'token')}")
        if not revoked:
            fail("there is no such token; it may have ended", NOT_FOUND)


def _grant(text: str) -> tuple[str, str]:
    pattern, equals, do = text.rpartition("=")
    if not equals:
        raise ConfigurationError(f"--grant {text!r} does not say what it grants: write {text + '=read'!r}")
    return pattern, do


def _new_file(path: Path) -> int:
    """Create a file that only its owner can read, and return it, open."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"cannot create {path}: {error.strerror or error}; no token was made")


def _limits(quota: Quota | None) -> str:
    if quota is None:
        return ""
    limits = [
        f"{most:,} {unit}"
        for unit, most in (
            ("records", quota.records),
            ("bytes", quota.bytes),
            ("calls a minute", quota.calls_per_minute),
        )
        if most is not None
    ]
    return f", up to {' and '.join(limits)}"


def _as_json(token: Token) -> dict[str, Any]:
    quota = token.quota
    return {
        "id": token.id,
        "label": token.label,
        "userId": token.user_id,
        "agent": token.agent,
        "namespace": token.namespace,
        "grants": None if token.grants is None else dict(token.grants),
        "quota": None
        if quota is None
        else {"records": quota.records, "bytes": quota.bytes, "callsPerMinute": quota.calls_per_minute},
        "calls": None if token.calls is None else list(token.calls),
        "createdAt": format_time(token.created_at.timestamp()),
        "expiresAt": None if token.expires_at is None else format_time(token.expires_at.timestamp()),
        "parent": token.parent,
    }


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="token")
