"""Accesses: counted once whatever happens, in the server."""

import pytest

from tests.adapters.connections import CountedOnce


@pytest.mark.server("postgresql")
class TestCountedOnce(CountedOnce):
    pass
