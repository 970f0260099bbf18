"""Summaries of text files: the number of lines, the headings, the definitions, and the names that are used."""

from __future__ import annotations

import ast
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

FORMAT = 1
"""Changes with the content of summaries: those of an older release are then built again."""

_MOST_DEFINITIONS, _MOST_HEADINGS, _MOST_USES = 500, 200, 1_000  # these keep a summary far below a megabyte
_LONGEST_NAME, _LONGEST_LINE = 80, 300


class Definition(NamedTuple):
    """A definition in a file."""

    kind: str
    name: str
    line: int


def summarise(text: str, language: str) -> dict[str, Any]:
    """Return the summary of a file as a JSON value."""
    lines = [line.rstrip("\n") for line in io.StringIO(text, newline=None)]
    definitions: Iterable[Definition] = ()
    uses: Iterable[str] = ()
    headings: Iterable[str] = ()
    if language in ("markdown", "restructuredtext"):
        headings = _headings(lines)
    elif language == "python" and (tree := _parse(text)) is not None:
        definitions = _python_definitions(tree.body)
        uses = _python_uses(tree)
    elif language in _PATTERNS:
        definitions = _definitions(lines, _PATTERNS[language])
        uses = (name for line in lines for name in _NAME.findall(line[:_LONGEST_LINE]))
    common = Counter(name for name in uses if len(name) <= _LONGEST_NAME)
    return {
        "format": FORMAT,
        "lines": len(lines),
        "headings": [heading[:_LONGEST_NAME] for heading in headings][:_MOST_HEADINGS],
        "definitions": [definition._asdict() for definition in definitions if len(definition.name) <= _LONGEST_NAME][
            :_MOST_DEFINITIONS
        ],
        "uses": sorted(name for name, _ in common.most_common(_MOST_USES)),
    }


# ------------------------------------------------------------------------------------------------ Python, by its tree


def _parse(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in somebody else's strings
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _python_definitions(body: Sequence[ast.stmt], outer: str = "") -> Iterator[Definition]:
    """Yield the functions and classes of a module; those inside a class are named ``Class.name``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition("method" if outer else "function", outer + node.name, node.lineno)
        elif isinstance(node, ast.ClassDef):
            yield Definition("class", outer + node.name, node.lineno)
            yield from _python_definitions(node.body, f"{outer}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from _python_definitions([*node.body, *node.orelse], outer)


def _python_uses(tree: ast.Module) -> list[str]:
    """Return the names used from other modules, as ``module.name``: imported, or attributes of something imported."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules: dict[str, str] = {}  # by the name that they have in this file
    uses: dict[str, str] = {}
    for node in imports:
        for alias in node.names:
            name = alias.name.rpartition(".")[2]
            modules[alias.asname or name] = name
            if isinstance(node, ast.ImportFrom):
                uses[alias.name] = (node.module or "").rpartition(".")[2]
    for attribute in ast.walk(tree):
        if isinstance(attribute, ast.Attribute) and isinstance(attribute.value, ast.Name):
            module = modules.get(attribute.value.id)
            if module is not None:
                uses.setdefault(attribute.attr, module)
    return [f"{module}.{name}" for name, module in uses.items()]


# ------------------------------------------------------------------------------------- other languages, by their look


def _declared(*keywords: str) -> re.Pattern[str]:
    """Return a pattern for ``keyword name``, after up to four words such as ``public static``."""
    return re.compile(rf"\s*(?:[a-z]+(?:\([a-z]+\))? +){{0,4}}?(?P<kind>{'|'.join(keywords)})\b\*? +(?P<name>[\w$]+)")


_JAVASCRIPT = [
    _declared("function", "class", "interface", "enum", "type"),
    re.compile(r"\s*(?:export )?(?:const|let|var) (?P<name>[\w$]+) *=.*=>"),
]
_C = [
    re.compile(r"(?P<kind>struct|class|enum|union|namespace) (?P<name>\w+)"),
    re.compile(r"(?!return\b|else\b|typedef\b)[A-Za-z_][\w:<>,*& ]* [*&]?(?P<name>[A-Za-z_]\w*)\([^;]*$"),
    re.compile(r"# *define (?P<name>\w+)"),
]
_PATTERNS: dict[str, Sequence[re.Pattern[str]]] = {
    "c": _C,
    "cpp": _C,
    "csharp": [_declared("class", "interface", "enum", "record", "struct")],
    "elixir": [re.compile(r"\s*def(?:p|macro|module)? (?P<name>[\w.?!]+)")],
    "go": [_declared("func", "type"), re.compile(r"func \([^)]*\) (?P<name>\w+)")],
    "java": [_declared("class", "interface", "enum", "record")],
    "javascript": _JAVASCRIPT,
    "kotlin": [_declared("class", "interface", "object", "fun")],
    "lua": [re.compile(r"\s*(?:local )?function (?P<name>[\w.:]+)")],
    "perl": [re.compile(r"\s*(?P<kind>sub|package) (?P<name>[\w:]+)")],
    "php": [_declared("function", "class", "interface", "trait")],
    "python": [re.compile(r"\s*(?:async )?(?P<kind>def|class) (?P<name>\w+)")],
    "ruby": [re.compile(r"\s*(?P<kind>def|class|module) (?P<name>[\w.?!]+)")],
    "rust": [_declared("fn", "struct", "enum", "trait", "type")],
    "scala": [_declared("class", "object", "trait", "def")],
    "shell": [re.compile(r"\s*(?:function +)?(?P<name>[\w-]+) *\(\)"), re.compile(r"\s*function (?P<name>[\w-]+)")],
    "sql": [re.compile(r"(?i)\s*create (?:or replace )?(?P<kind>table|view|function|index) (?P<name>\w+)")],
    "swift": [_declared("class", "struct", "enum", "protocol", "func")],
    "typescript": _JAVASCRIPT,
}
_KINDS = {"def": "function", "fn": "function", "fun": "function", "func": "function", "sub": "function"}
# Without a grammar only names such as make_it, makeIt and MakeIt can be told from the words of comments and strings.
_NAME = re.compile(r"\b[A-Za-z][A-Za-z0-9]*(?:_|[a-z0-9][A-Z])\w*")


def _definitions(lines: Sequence[str], patterns: Sequence[re.Pattern[str]]) -> Iterator[Definition]:
    for number, line in enumerate(lines, 1):
        for pattern in patterns:
            match = pattern.match(line[:_LONGEST_LINE])
            if match is not None:
                kind = match.groupdict().get("kind", "function").lower()
                yield Definition(_KINDS.get(kind, kind), match["name"], number)
                break


def _headings(lines: Sequence[str]) -> Iterator[str]:
    """Yield the headings of Markdown and of reStructuredText; headings in a fenced block do not count."""
    fence = "---" if lines and lines[0] == "---" else ""  # front matter
    above = ""
    for line in lines[1:] if fence else lines:
        text = line[:_LONGEST_LINE].strip()
        mark = _FENCE.match(text)
        if fence:
            fence = "" if text.startswith(fence) and not text.strip(fence[0]) else fence
        elif mark:
            fence = mark[0]
        elif heading := _ATX.match(line[:_LONGEST_LINE]):
            yield heading["text"]
        elif above and len(text) >= len(above) and _UNDERLINE.fullmatch(text):
            yield above
        above = text if not fence and any(map(str.isalnum, text)) else ""


_FENCE = re.compile(r"`{3,}|~{3,}(?!~*$)")  # a line of only tildes underlines a title in reStructuredText
_ATX = re.compile(r" {0,3}#{1,6} +(?P<text>.*?)(?: +#+)? *$")
_UNDERLINE = re.compile(r"([-=~^\"'*+#])\1{2,}")
