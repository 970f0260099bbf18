"""Modules that are imported when something of them is first used.

An import statement in a function does the same, but looks for the module, and for each name, in every call: in the hot
path of a query that took as long as parsing its filter.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module; what was used of it once is an attribute.

    Args:
        name: The module's full name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Import the module, and keep what is asked for; called only while it is not kept."""
        found = getattr(import_module(self._name), attribute)
        setattr(self, attribute, found)
        return found
