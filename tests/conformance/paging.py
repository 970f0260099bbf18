"""Smaller pages for the kit's largest test on servers, so that it goes on from page to page with fewer records."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from datastore import Backend
from tests.full import FULL, MANY_ON_SERVERS

PAGE = MANY_ON_SERVERS * 5 // 6
"""As many of the records as an adapter's page of 10,000 holds of 12,000."""


@contextmanager
def smaller_pages(adapter: type[Backend], *places: str) -> Iterator[None]:
    """Let an adapter ask for at most `PAGE` documents at once; in a full run it asks for as many as it always does.

    Args:
        adapter: Its class.
        *places: Where else it says how many, as ``module.NAME``.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not FULL:
            patch.setattr(adapter, "capabilities", replace(adapter.capabilities, scan_page=PAGE))
            for place in places:
                patch.setattr(place, PAGE)
        yield
