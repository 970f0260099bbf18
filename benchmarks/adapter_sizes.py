"""How many lines of code each adapter has, file by file, and the toolkit that they share.

    python benchmarks/adapter_sizes.py

A line counts if there is more on it than a comment, and it is no part of a docstring (nor of the text that follows a
name to say what it is). A text of several lines, such as a statement of SQL, counts with each line that is not blank.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def lines_of(file: Path) -> int:
    """Return how many lines of code a file has."""
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {
        line
        for token in tokens
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
        if lines[line - 1].strip()
    }
    texts = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return len(code.difference(*(range(text.lineno, (text.end_lineno or text.lineno) + 1) for text in texts)))


def main() -> None:
    """Print the numbers."""
    for folder in (*sorted(ROOT.glob("backends/datastore_*")), ROOT / "datastore" / "adapters"):
        sizes = {file.name: lines_of(file) for file in sorted(folder.glob("*.py"))}
        print(
            f"{folder.name:<22}{sum(sizes.values()):>6,}  {', '.join(f'{name} {n}' for name, n in sizes.items() if n)}"
        )
    for name in ("backends", "datastore"):
        print(f"{name + ', all':<22}{sum(map(lines_of, (ROOT / name).rglob('*.py'))):>6,}")


if __name__ == "__main__":
    main()
