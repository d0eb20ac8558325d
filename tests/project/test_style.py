"""What ruff has no rule for and readers trip over: refused in all of our Python."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeGuard

import pytest

from deepseek_math.paths import ROOT

pytestmark = pytest.mark.unit

FOLDERS = ("deepseek_math", "replicate", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "data" not in path.parts)
TWICE = {"__init__.py", "__main__.py", "engine.py", "tokenizer.py", "command.py"}  # a room may have its own
PROGRAMS = ("deepseek_math/programs/sandbox", "deepseek_math/training/check.py")  # which run programs on purpose
Parents = dict[ast.AST, ast.AST]


def faults(tree: ast.AST, programs: bool = False) -> Iterator[tuple[int, str]]:
    """Line and fault of everything that is refused."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp) and any(isinstance(part, ast.IfExp) for part in ast.walk(node) if part != node):
            yield node.lineno, "a ternary in a ternary"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = (node.left, node.right)
            if any(map(is_text, sides)) and any(map(is_bool, sides)):
                yield node.lineno, "a text times a bool"
        if isinstance(node, ast.NamedExpr) and not in_condition(node, parents):
            yield node.lineno, "a := outside the condition of an if or while"
        if is_call(node, "eval", "exec") and not programs:
            yield node.lineno, "the built-in eval or exec"


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def is_call(node: ast.AST, *names: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def is_bool(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return any(map(is_bool, node.values))
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    constant = isinstance(node, ast.Constant) and isinstance(node.value, bool)
    return is_call(node, "bool") or negated or constant or isinstance(node, ast.Compare)


def in_condition(node: ast.AST, parents: Parents) -> bool:
    """Whether it stands in the condition of an `if` or `while` statement, and in no comprehension or lambda there."""
    while node in parents:
        node, child = parents[node], node
        if isinstance(node, ast.If | ast.While):
            return child is node.test
        if isinstance(node, ast.stmt | ast.comprehension | ast.GeneratorExp | ast.ListComp | ast.Lambda | ast.IfExp):
            return False
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lines_are_ones_that_one_can_read(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    found = faults(ast.parse(path.read_text()), name.startswith(PROGRAMS))
    assert [f"{name}:{line}: {fault}" for line, fault in found] == []


def test_no_two_files_of_one_name_in_two_rooms() -> None:
    rooms = defaultdict(list)
    for path in chain((ROOT / "deepseek_math").rglob("*.py"), (ROOT / "replicate").rglob("*.py")):
        if path.name not in TWICE:
            rooms[path.name].append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in rooms.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("x = 1 if a else 2 if b else 3", True),
        ("x = 1 if a else 2", False),
        ("x = 'a' * (n > 1)", True),
        ("x = f'{a}' * bool(b)", True),
        ("x = (not a) * 'b'", True),
        ("x = 'a' * n", False),
        ("x = [y for n in z if (y := f(n))]", True),
        ("return_ = (y := 1)", True),
        ("if (y := f()) is not None: pass", False),
        ("while y := f(): pass", False),
        ("if any((y := n) for n in z): pass", True),
        ("eval('1')", True),
        ("model.eval()", False),
    ],
)
def test_the_rules_find_what_they_are_for(line: str, refused: bool) -> None:
    assert bool(list(faults(ast.parse(line)))) is refused
