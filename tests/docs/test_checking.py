"""The checks of the examples find what is wrong."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT, Block, commands, compile_block, run_console
from tests.docs.pages import _check as check
from tests.docs.pages import _raises as raises

PAGE = ROOT / "README.md"


def run(text: str) -> None:
    exec(compile_block(Block("python", "", text, 1), PAGE), {"_check": check, "_raises": raises})


@pytest.mark.parametrize(
    "text",
    [
        "1 + 1  # -> 2",
        "def f():\n    return [\n        1,\n    ]\n\nf()\n# -> [1]",
        "list(range(3))\n# -> [0,\n#     1, 2]\nx = 1",
        "object()  # -> <object ...>",
        "if True:\n    1 / 0  # raises ZeroDivisionError: division by zero",
        "x = int('a')  # raises ValueError: ...",
        "x = 1  # a comment",
    ],
)
def test_what_is_true_passes(text):
    run(text)


@pytest.mark.parametrize(
    "text",
    [
        "1 + 1  # -> 3",
        "1 + 1  # -> 2.0",
        "x = 1  # -> 1",
        "# -> 1",
        "if True:\n    pass  # -> 1",
        "1  # raises ValueError: ...",
        "1 / 0  # raises ZeroDivisionError: other",
        "1 / 0  # raises ValueError: ...",
        "list(range(3))\n# -> [0,\n#     1, 3]",
    ],
)
def test_what_is_not_true_fails(text):
    with pytest.raises(AssertionError):
        run(text)


def test_a_block_is_cut_into_commands_and_what_they_print():
    block = Block("console", "", "$ echo a \\\n    b\na b\n$ true\n$ echo c\nc\n", 1)
    assert commands(block) == [("echo a \\\n    b", "a b\n"), ("true", ""), ("echo c", "c\n")]


def test_what_a_command_prints_is_compared():
    run_console(Block("console", "", "$ echo a   b 12\na b 12\n", 1), PAGE)
    run_console(Block("console", "shape", "$ echo a 1,234 95c5b587\na 7 12345678\n", 1), PAGE)
    with pytest.raises(AssertionError, match="README"):
        run_console(Block("console", "", "$ echo 1\n2\n", 1), PAGE)
    with pytest.raises(AssertionError, match="README"):
        run_console(Block("console", "shape", "$ echo a\nb\n", 1), PAGE)
