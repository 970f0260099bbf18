"""Regular expressions, with a bound on the time that one may take.

Python's own ``re`` can be sent into a search that ends after the sun does, and cannot be interrupted. The library
``regex`` takes a timeout. It is imported with the first pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from datastore.errors import QueryError
from datastore.queries.tree import Matches

SECONDS = 1.0
"""How long one text may be searched; a sensible pattern takes microseconds."""
_LONGEST = 32_764  # bytes, as MongoDB: https://www.mongodb.com/docs/manual/reference/operator/query/regex/


@lru_cache(maxsize=256)
def compile_pattern(matches: Matches) -> Callable[[str], bool]:
    """Return the function that says whether a pattern is found in a text.

    The function raises `QueryError` if it takes longer than `SECONDS`.

    Raises:
        QueryError: If the pattern does not compile.
    """
    import regex  # here, because most stores never see a pattern

    if len(matches.pattern.encode()) > _LONGEST:
        raise QueryError(f"the pattern is longer than {_LONGEST:,} bytes")
    flags = regex.VERSION0
    for option in matches.options:
        flags |= getattr(regex, option.upper())
    try:
        search = regex.compile(matches.pattern, flags).search
    except (regex.error, RecursionError, OverflowError) as error:
        raise QueryError(f"the pattern {matches.pattern[:60]!r} does not compile: {error}") from error

    def found(text: str) -> bool:
        try:
            return search(text, timeout=SECONDS) is not None
        except TimeoutError:
            raise QueryError(
                f"the pattern {matches.pattern[:60]!r} took longer than {SECONDS:g} s on one text; "
                "avoid repetitions within repetitions, such as (a+)+"
            ) from None

    return found
