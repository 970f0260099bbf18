"""The pages of the documentation: their blocks, and how the examples in them are run.

A page is one script from top to bottom, in a working directory of its own: its blocks share one namespace.

``python``
    Is executed. A comment after a statement (or on the lines below it) says what comes of it, and is checked:
    ``# -> value`` is the ``repr`` of an expression, ``# raises Error: message`` the error of a statement. In both,
    ``...`` stands for anything. A word after ``python`` is a package that the page needs.
``console``
    Lines after ``$ `` are run by a shell, the lines below are the output. With the word ``shape`` after ``console``
    paths, numbers, times, revisions and the widths of tables may differ.
``text``, ``sh``, ``sql`` and others
    Are shown only; of ``sh`` the syntax is checked.
"""

from __future__ import annotations

import ast
import doctest
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import tokenize
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from typer.testing import CliRunner

from datastore.cli.app import app
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
]
OF_BRIDGES = [page for page in PAGES if ROOT / "docs/bridges" in page.parents]
"""Those whose examples need frameworks, which are installed where ``tests/bridges`` run (``tox -e bridges``)."""
OF_ADK = [page for page in OF_BRIDGES if page.stem == "google-adk"]
"""Those of them that are run by ``tests/bridges_adk``, because their frameworks need an environment of their own."""

_FENCE = re.compile(r"^(`{3,})(\w*)[ ]*(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"# (->|raises) (.*)")


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@dataclass
class Block:
    """A fenced block of a page."""

    language: str
    option: str
    text: str
    line: int
    """Of its first line within the page."""


def blocks(path: Path, *languages: str) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(match[2], match[3], match[4], text.count("\n", 0, match.start(4)) + 1)
        for match in _FENCE.finditer(text)
        if not languages or match[2] in languages
    ]


def prose(path: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def run(path: Path, *languages: str) -> None:
    """Run the blocks of a page in the working directory."""
    namespace: dict[str, object] = {"__name__": "__main__", "_check": _check, "_raises": _raises}
    logger = logging.getLogger("datastore")
    level = logger.level
    try:
        for block in blocks(path, *languages):
            if block.language == "python":
                exec(compile_block(block, path), namespace)
            else:
                run_console(block, path)
    finally:
        logger.setLevel(level)  # a page may show how to set it, and other tests read what is logged


# ----------------------------------------------------------------------------------------------------------- python


def compile_block(block: Block, path: Path) -> CodeType:
    """Compile a block, its marks turned into checks; a traceback shows the lines of the page."""
    expected = _marks(block.text)
    tree = _Checks(expected).visit(ast.parse(block.text))
    if expected:
        raise AssertionError(f"{page_name(path)}:{block.line + min(expected) - 1}: the mark belongs to no statement")
    ast.fix_missing_locations(ast.increment_lineno(tree, block.line - 1))
    return compile(tree, str(path), "exec")


def _marks(source: str) -> dict[int, tuple[str, str]]:
    """Return the marks by the number of the line that their statement ends in."""
    lines = source.splitlines()
    marks: dict[int, tuple[str, str]] = {}
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        alone = not lines[line - 1][:column].strip()
        match = _MARK.fullmatch(token.string)
        if match:
            last = line - 1 if alone else line
            while alone and not lines[last - 1].strip():
                last -= 1
            marks[last] = match[1], match[2]
        elif alone and last and all(text.lstrip().startswith("#") for text in lines[last : line - 1]):
            kind, text = marks[last]  # the mark goes on
            marks[last] = kind, f"{text} {token.string.lstrip('# ')}"
        else:
            last = 0
    return marks


class _Checks(ast.NodeTransformer):
    """Puts the checks into a tree, and takes their marks from the table."""

    def __init__(self, marks: dict[int, tuple[str, str]]) -> None:
        self._marks = marks

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if not isinstance(node, ast.stmt) or hasattr(node, "body") or node.end_lineno not in self._marks:
            return node
        kind, text = self._marks.pop(node.end_lineno)
        if kind == "raises":
            call = _call("_raises", ast.Constant(text))
            return ast.copy_location(ast.With([ast.withitem(call)], [node]), node)
        assert isinstance(node, ast.Expr), f"line {node.lineno}: only an expression has a value to show"
        return ast.copy_location(ast.Expr(_call("_check", node.value, ast.Constant(text))), node)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _check(value: object, expected: str) -> None:
    assert_same(expected, repr(value))


@contextmanager
def _raises(expected: str):
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever the page says
        assert_same(expected, f"{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"nothing was raised; expected {expected}")


def assert_same(expected: str, actual: str) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(expected.strip() + "\n", actual.strip() + "\n", options):
        raise AssertionError(f"the page shows\n{expected}\nbut it is\n{actual}")


# ---------------------------------------------------------------------------------------------------------- console


def run_console(block: Block, path: Path) -> None:
    """Run the commands of a block, and compare what they print."""
    for command, expected in commands(block):
        arguments = _of_datastore(command)
        shown, printed = expected, _by_bash(command) if arguments is None else _in_process(arguments)
        if block.option == "shape":
            shown, printed = _shape(shown), _shape(printed)
        try:
            assert_same(shown, printed)
        except AssertionError as error:
            raise AssertionError(f"{page_name(path)}:{block.line}: $ {command}\n{error}") from None


def _of_datastore(command: str) -> list[str] | None:
    """Return the arguments of a command that is ``datastore`` and asks nothing of the shell, else ``None``."""
    if any(character in command for character in "|&;<>$`(){}*?~#\\\n"):
        return None
    name, *arguments = shlex.split(command)
    return arguments if name == "datastore" else None


def _in_process(arguments: list[str]) -> str:
    """Return what ``datastore`` prints: a process for each would take half a second, and tests/cli has them."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}).output


def _by_bash(command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    return result.stdout


def commands(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a block, each with the output that is shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def _shape(text: str) -> str:
    text = re.sub(r"[─-]{3,}", "---", text)
    text = re.sub(r"\S*/\S+", "P", text)
    text = re.sub(r"\b[0-9a-f]{8}\b|\b[0-9a-f]{24}\b", "R", text)
    return re.sub(r"\d[\d,.]*", "N", text)
