"""What a command takes from the host's own code: an object, by the name of its module and its name there."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from datastore.arguments import shown
from datastore.errors import ConfigurationError

_PLACE = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)")


def imported(place: str, option: str) -> Any:
    """Import the object that ``module:name`` says, as servers of applications do.

    A module that is not installed is looked for in the working directory, after all others: so no file that lies there
    takes the place of one that is meant.

    Args:
        place: The module, which may be within packages, and the name of the object in it, which may have dots.
        option: For messages.

    Raises:
        ConfigurationError: If that is not how it is written, or there is no such module or object, or the module fails.
    """
    if (found := _PLACE.fullmatch(place)) is None:
        raise ConfigurationError(f"{option} is {shown(place)}; write MODULE:NAME, such as models:embedder")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        one: Any = importlib.import_module(found["module"])
    except Exception as error:  # whatever the host's own code raises
        why = str(error) if isinstance(error, ImportError) else f"it raised {type(error).__name__}: {error}"
        raise ConfigurationError(f"{option}: the module {found['module']!r} cannot be imported: {why}") from error
    for name in found["name"].split("."):
        try:
            one = getattr(one, name)
        except AttributeError:
            raise ConfigurationError(f"{option}: {found['module']!r} has no {found['name']!r}") from None
    return one
