"""Templates and files of the pages. Everything that a template shows is escaped, unless this package made it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from datastore.showing import number
from datastore.viewer import text, values
from datastore.viewer.visits import said


class Template:
    """The templates of pages without a visitor."""

    LOGIN = "login.html"
    REFUSED = "refused.html"


class File(NamedTuple):
    """A file that pages load."""

    content: bytes
    media_type: str


def _files() -> tuple[dict[str, File], dict[str, str]]:
    """Return the files, and their names, in which a digest changes with the content: browsers keep them for long."""
    found, called = dict[str, File](), dict[str, str]()
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for file in files("datastore.viewer").joinpath("static").iterdir():
        kind = kinds.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            name = f"{sha256(content).hexdigest()[:12]}-{file.name}"
            found[name], called[file.name] = File(content, kind), name
    return found, called


STATIC, _CALLED = _files()

_environment = Environment(
    loader=PackageLoader("datastore.viewer"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.filters.update(
    visible=text.visible, plain=text.plain, moment=text.moment, preview=values.preview, size=text.bytes_of
)
_environment.globals.update(static=_CALLED.__getitem__, number=number, said=said)

_TEMPLATES = {name: _environment.get_template(name) for name in _environment.list_templates()}
"""Compiled when the application is made, so that the first visitor does not wait for it."""


def render(template: str, shown: Mapping[str, Any]) -> str:
    """Return a page as HTML."""
    return _TEMPLATES[template].render(shown)
