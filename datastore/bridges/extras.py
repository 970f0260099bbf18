"""What a bridge says if the framework that it needs cannot be imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datastore import ConfigurationError


@contextmanager
def needs(framework: str, extra: str) -> Iterator[None]:
    """Import a framework within this block; if it cannot be imported, the error says how to install it.

    Args:
        framework: Its name, as people know it.
        extra: The extra of this package that brings it.

    Raises:
        ConfigurationError: If the import fails. What it failed with is chained.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"{framework} cannot be imported ({error}): pip install 'agent-datastore[{extra}]'"
        ) from error
