"""Accesses: counted once whatever happens, in the server."""

import pytest

from tests.adapters.connections import CountedOnce


@pytest.mark.server("redis")
class TestCountedOnce(CountedOnce):
    pass
