"""Runs the family's programs for training and evaluation: straight lines of arithmetic, sympy and print.

Not a sandbox for programs in general: it refuses everything that is not on its short list, before anything runs.
"""

import ast
from fractions import Fraction

import sympy

NAMES = {
    "Fraction": Fraction,
    "Rational": sympy.Rational,
    "symbols": sympy.symbols,
    "integrate": sympy.integrate,
    "diff": sympy.diff,
    "solve": sympy.solve,
    "Eq": sympy.Eq,
}
_STATEMENTS = (ast.Module, ast.Assign, ast.Expr, ast.ImportFrom, ast.alias)
_EXPRESSIONS = (ast.Name, ast.Load, ast.Store, ast.Constant, ast.Call, ast.Tuple, ast.Subscript, ast.Attribute)
_ARITHMETIC = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
MAX_POWER = 20
LETTERS = tuple("xyzabc")
MAX_CHARACTERS = 500


def printed(program: str) -> str:
    """What `program` prints, without the last line's end; `error: ...` where it fails or is refused."""
    lines: list[str] = []
    try:
        if len(program) > MAX_CHARACTERS:
            raise ValueError("too long")
        tree = ast.parse(program)
        _refuse(tree)
        body = [statement for statement in tree.body if not isinstance(statement, ast.ImportFrom)]
        code = compile(ast.Module(body, []), "program", "exec")
        names = NAMES | {"print": lambda *values: lines.append(" ".join(map(str, values)))}
        exec(code, {"__builtins__": {}}, names)  # only what _refuse let through
    except Exception as error:  # a model's program may fail in any way
        return f"error: {error}"
    return "\n".join(lines)


def _refuse(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, _STATEMENTS + _EXPRESSIONS + _ARITHMETIC):
            raise ValueError(f"{type(node).__name__} is not allowed")
        if isinstance(node, ast.Attribute) and node.attr != "subs":
            raise ValueError(f"{node.attr} is not allowed")
        if isinstance(node, ast.ImportFrom) and node.module not in ("sympy", "fractions"):
            raise ValueError(f"{node.module} is not allowed")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            power = node.right
            if not (isinstance(power, ast.Constant) and isinstance(power.value, int) and power.value <= MAX_POWER):
                raise ValueError("a power is not a small number")
        if isinstance(node, ast.Constant) and not isinstance(node.value, int) and node.value not in LETTERS:
            raise ValueError("a constant is not allowed")  # sympy would read a longer text as a program
