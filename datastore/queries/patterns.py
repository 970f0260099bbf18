"""Regular expressions, with a bound on the time that one may take.

Python's own ``re`` can be sent into a search that ends after the sun does, and cannot be interrupted. The library
``regex`` takes a timeout. It is imported with the first pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from datastore.errors import QueryError
from datastore.queries.tree import Matches

SECONDS = 1.0
"""How long one text may be searched; a sensible pattern takes microseconds."""
_LONGEST = 32_764  # bytes, as MongoDB: https://www.mongodb.com/docs/manual/reference/operator/query/regex/
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]|\{(?P<count>\d+)(?:,\d*)?\}|.", re.DOTALL)


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
    if _written_out(matches.pattern) > _LONGEST:
        raise QueryError(
            f"the pattern {matches.pattern[:60]!r} repeats too much: written out it has over {_LONGEST:,} characters"
        )
    flags = regex.VERSION0
    for option in matches.options:
        flags |= getattr(regex, option.upper())
    try:
        search = regex.compile(matches.pattern, flags).search
    except (regex.error, ValueError, RecursionError, OverflowError) as error:
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


def _written_out(pattern: str) -> int:
    """Return how long a pattern is with its counted repetitions written out, which is how `regex` compiles them.

    That happens before any timeout can end it: ``a{1000000000}`` would take all memory.
    """
    groups, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        text, count = token[0], token["count"]
        if count is not None:
            times = int(count) if len(count) < 10 else _LONGEST + 1
            groups[-1] += max(last, 1) * max(times - 1, 0)
            last = max(last, 1) * max(times, 1)
        elif text == "(":
            groups.append(0)
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        else:
            last = last if text.isspace() else 1  # with (?x) spaces may stand between a group and its count
            groups[-1] += 1
    return sum(groups)
