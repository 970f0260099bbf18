"""Copies the docstrings of the calls into the guides: run ``python docs/site/reference.py`` after changing one.

In a page the text is between two comments, so that the page can be read anywhere; a test compares the two::

    <!-- docstring of datastore.AgentDataStore.get -->
    ...
    <!-- end of docstring -->

On the site the same docstrings are shown by mkdocstrings, with types (see ``hooks.py``).
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

DOCS = Path(__file__).parents[1]
BLOCK = re.compile(r"^<!-- docstring of ([\w.]+) -->\n(.*?)^<!-- end of docstring -->\n", re.DOTALL | re.MULTILINE)
_SECTIONS = ("Args", "Returns", "Yields", "Raises")


def written(text: str) -> str:
    """Return the text of a page with every block replaced by its docstring."""
    return BLOCK.sub(
        lambda block: f"<!-- docstring of {block[1]} -->\n{rendered(block[1])}<!-- end of docstring -->\n", text
    )


def rendered(name: str) -> str:
    """Return a docstring as Markdown; the name is that of an import, such as ``datastore.AgentDataStore.get``."""
    docstring = inspect.getdoc(_find(name))
    if docstring is None:
        raise LookupError(f"{name} has no docstring")
    return "\n".join(_lines(docstring)).strip() + "\n"


def _find(name: str) -> object:
    module, *path = name.split(".")
    found: object = import_module(module)
    for part in path:
        found = getattr(found, part)
    return found


def _lines(docstring: str) -> Iterator[str]:
    for title, body in _parts(docstring):
        if title is None:
            text = re.sub(r"^(\w+): ", r"**\1:** ", body) if body.startswith("Requests: ") else body
            yield _marked_up(text)
        elif title == "Args":
            yield "| parameter | is |\n|---|---|"
            yield from (
                f"| `{name}` | {_marked_up(text).replace('|', chr(92) + '|')} |" for name, text in _entries(body)
            )
        elif title == "Raises":
            yield "**Raises:**\n"
            yield from (f"- {_names(name)}: {_marked_up(_lower(text))}" for name, text in _entries(body))
        else:
            yield f"**{title}:** {_marked_up(_joined(body))}"
        yield ""


def _parts(docstring: str) -> Iterator[tuple[str | None, str]]:
    """Yield the sections with their titles, and the other paragraphs without a title; code blocks stay whole."""
    paragraph: list[str] = []
    lines = docstring.splitlines()
    while lines:
        line = lines.pop(0)
        if line.rstrip(":") in _SECTIONS and line.endswith(":"):
            body: list[str] = []
            while lines and (not lines[0] or lines[0].startswith(" ")):
                body.append(lines.pop(0))
            yield line[:-1], textwrap.dedent("\n".join(body)).strip()
        elif line:
            paragraph.append(line)
            if not lines or not lines[0]:
                indented = all(text.startswith(" ") for text in paragraph)
                yield None, "\n".join(paragraph) if indented else " ".join(paragraph)
                paragraph = []


def _entries(body: str) -> Iterator[tuple[str, str]]:
    for entry in re.split(r"\n(?! )", body):
        name, colon, text = entry.partition(": ")
        if not colon:
            raise ValueError(f"an entry of a docstring has no name: {entry!r}; are its continuation lines indented?")
        yield name, _joined(text)


def _joined(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines())


def _names(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _lower(text: str) -> str:
    return text[0].lower() + text[1:] if re.match(r"(If|As|Also|Where) ", text) else text


def _marked_up(text: str) -> str:
    """Return text with the marks for code of Sphinx and mkdocstrings turned into Markdown's."""
    return re.sub(r"``(.+?)``", r"`\1`", re.sub(r"::$", ":", text))


def main() -> None:
    """Update every page that has such blocks."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if written(text) != text:
            page.write_text(written(text), encoding="utf-8")


if __name__ == "__main__":
    main()
