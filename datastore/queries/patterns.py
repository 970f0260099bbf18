"""Regular expressions, searched for by RE2 in linear time.

A backtracking engine, such as Python's own ``re``, can be made to search practically for ever. Meanwhile it blocks all
other threads, and it cannot be interrupted. RE2 cannot be made to do that, and lets other threads run. It is imported
with the first pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from datastore.deadlines import check, left
from datastore.errors import DeadlineExceededError, QueryError, UnsupportedError
from datastore.queries.expressions import NotTranslatedError, Translation
from datastore.queries.tree import Matches

_LONGEST = 32_764  # bytes, as MongoDB: https://www.mongodb.com/docs/manual/reference/operator/query/regex/
_MEMORY = 2_000_000
"""Bytes that RE2 may use for one pattern and its states; about ten thousand characters, or states, fit."""
_PATTERNS = 64
_SURELY_SHORT = 50_000_000
"""This many steps (states of the pattern times bytes of the text) take at most about a second."""
_SECONDS_PER_STEP = 20e-9
"""In the worst case. A search nearly always takes one step for each byte, however large the pattern is."""


@lru_cache(maxsize=_PATTERNS)
def compile_pattern(matches: Matches) -> Callable[[str], bool]:
    """Return a function that tells whether a pattern is found in a text.

    The function raises `DeadlineExceededError` if the current call has taken too long, or might with this text.

    Raises:
        QueryError: If the pattern is invalid or too large, or cannot be searched for in linear time.
        UnsupportedError: If RE2 is not installed.
    """
    check()  # one filter may have many
    shown = repr(matches.pattern[:60])
    if len(matches.pattern.encode()) > _LONGEST:
        raise QueryError(f"the pattern {shown}... is longer than {_LONGEST:,} bytes")
    _engine()
    try:
        translation = Translation(matches.pattern, matches.options)
    except NotTranslatedError as error:
        raise QueryError(f"the pattern {shown} does not compile: {error}") from None
    pattern = _compile(translation.text, shown)
    search, size = pattern.search, pattern.programsize
    search_at_end = _compile(translation.text_at_end, shown).search if translation.has_line_starts else None

    def found(text: str) -> bool:
        check()
        utf8 = text.encode(errors="surrogatepass")
        steps = size * len(utf8)
        if steps > _SURELY_SHORT and steps * _SECONDS_PER_STEP > left():
            raise DeadlineExceededError(
                f"the pattern {shown} may take longer on a text of {len(utf8):,} bytes than the call has left; make it "
                "shorter, or give connect(max_seconds=) more"
            )
        match = search(utf8)
        if match is None:
            return False
        if search_at_end is not None and match.start() == len(utf8) and text.endswith("\n"):
            return search_at_end(utf8, len(utf8)) is not None
        return True

    return found


def _compile(text: str, shown: str) -> Any:
    re2 = _engine()
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "RE2 refuses it"
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        if "too large" in reason:
            reason = f"it takes more than {_MEMORY:,} bytes"
        raise QueryError(f"the pattern {shown} does not compile: {reason}") from error


def _engine() -> Any:
    try:
        import re2  # imported here, because most stores never see a pattern
    except ImportError as error:
        raise UnsupportedError(
            "$regex needs RE2, which is not installed: pip install 'agent-datastore[regex]' (there are wheels for "
            "CPython 3.11 to 3.14 on Linux with glibc, macOS and Windows; elsewhere it is built from source)"
        ) from error
    return re2
