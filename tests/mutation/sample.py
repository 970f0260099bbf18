"""Choose mutants at random, with a fixed seed, among those that Cosmic Ray can make; ``README.md`` says how.

Mutants in annotations and in overloads are left out: only type checkers look at those, so no test could find them. A
star in a list of parameters is left out, too: Cosmic Ray takes it for a multiplication, and the result is not Python.
"""

from __future__ import annotations

import argparse
import ast
import random
import sqlite3
from pathlib import Path

Position = tuple[int, int]


def annotations(tree: ast.Module) -> list[tuple[Position, Position]]:
    """Return where the annotations and overloads of a module, and the types that it gives names to, begin and end."""
    found: list[ast.expr | None] = []
    overloads = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
            if any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
                overloads.append(((node.decorator_list[0].lineno, 0), end_of(node)))
        elif isinstance(node, ast.arg):
            found.append(node.annotation)
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
            if isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias":
                found.append(node.value)
    return overloads + [(start_of(node), end_of(node)) for node in found if node is not None]


def start_of(node: ast.AST) -> Position:
    return node.lineno, node.col_offset


def end_of(node: ast.AST) -> Position:
    return node.end_lineno or 0, node.end_col_offset or 0


def operators(tree: ast.Module) -> list[tuple[Position, Position]]:
    """Return where the operators between two operands may be."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    return [(end_of(node.left), start_of(node.right)) for node in nodes]


def lies_in(position: Position, places: list[tuple[Position, Position]]) -> bool:
    return any(start <= position < end for start, end in places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", help="made by cosmic-ray init")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--seed", type=int, default=13)
    given = parser.parse_args()
    database = sqlite3.connect(given.session)
    rows = database.execute(
        "SELECT job_id, module_path, start_pos_row, start_pos_col, operator_name FROM mutation_specs"
        " ORDER BY module_path, start_pos_row, start_pos_col, operator_name, operator_args, occurrence"
    ).fetchall()
    trees = {module: ast.parse(Path(module).read_text(encoding="utf-8")) for module in {row[1] for row in rows}}
    skipped = {module: annotations(tree) for module, tree in trees.items()}
    between = {module: operators(tree) for module, tree in trees.items()}
    sites: dict[tuple[str, int, int], list[str]] = {}
    for job, module, row, column, name in rows:
        if lies_in((row, column), skipped[module]):
            continue
        if "BinaryOperator" in name and not lies_in((row, column), between[module]):
            continue
        sites.setdefault((module, row, column), []).append(job)
    # One place counts once, however many mutants can be made of it: of "+" a dozen.
    generator = random.Random(given.seed)
    chosen = [generator.choice(sites[site]) for site in generator.sample(sorted(sites), min(given.size, len(sites)))]
    database.execute("CREATE TEMP TABLE chosen (job_id TEXT)")
    database.executemany("INSERT INTO chosen VALUES (?)", [(job,) for job in chosen])
    for table in ("mutation_specs", "work_items", "work_results"):
        database.execute(f"DELETE FROM {table} WHERE job_id NOT IN (SELECT job_id FROM chosen)")
    database.commit()
    print(f"{len(chosen)} mutants, each at one of {len(sites)} places")


if __name__ == "__main__":
    main()
