"""No checkpoint brings code that runs: every call that could run it says so."""

import ast

from deepseek_math.paths import ROOT

LOADERS = {"from_pretrained", "from_config"}


def loading_calls() -> list[tuple[str, ast.Call]]:
    """Calls of transformers' Auto classes, with where they stand."""
    calls = []
    for file in [*ROOT.glob("deepseek_math/**/*.py"), *ROOT.glob("replicate/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in LOADERS and "Auto" in ast.unparse(node.func.value):
                calls.append((f"{file.relative_to(ROOT)}:{node.lineno}", node))
    return calls


def test_every_model_and_tokenizer_is_loaded_without_code_of_its_checkpoint() -> None:
    calls = loading_calls()
    assert len(calls) >= 5
    for where, call in calls:
        said = [word.value for word in call.keywords if word.arg == "trust_remote_code"]
        assert [ast.unparse(value) for value in said] == ["False"], where
