"""The package, the folder that Cog loads, and what goes into the container."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_math.paths import PREDICTOR, ROOT
from tests.project.test_imports import APART, imported


@pytest.mark.unit
def test_what_only_measures_and_trains_is_neither_loaded_by_cog_nor_in_the_container() -> None:
    assert not {name.split(".")[1] for name in imported(PREDICTOR) if "." in name} & set(APART)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {*(f"deepseek_math/{name}" for name in APART), "tests", "docs"} <= set(ignored)


def test_predict_py_is_loaded_by_its_path_and_finds_the_package_in_the_working_folder() -> None:
    """As coglet's worker does, with nothing installed: cwd is first on sys.path, the file's own folder is not on it."""
    program = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("predict", {str(PREDICTOR)!r})
module = sys.modules["predict"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
import deepseek_math
print(module.Predictor.__module__, deepseek_math.__file__)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["predict", str(ROOT / "deepseek_math" / "__init__.py")]


@pytest.mark.unit
def test_the_folder_that_cog_loads_is_no_package() -> None:
    assert [path.name for path in PREDICTOR.parent.glob("*.py")] == ["predict.py"]
    spec = importlib.util.find_spec("replicate")
    assert spec is None or spec.origin is None or PREDICTOR.parent not in Path(spec.origin).parents


def test_replicate_s_own_client_is_what_import_replicate_gives() -> None:
    """From the repository's root, whose folder `replicate/` would shadow it if it were a package."""
    program = f"""
import importlib.util, sys
import replicate
client = replicate.Client(api_token="r8_none")
assert callable(replicate.run) and callable(client.predictions.create)
spec = importlib.util.spec_from_file_location("predict", {str(PREDICTOR)!r})
module = sys.modules["predict"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(replicate.__file__, module.Predictor.__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client, predictor = done.stdout.split()
    assert "site-packages" in Path(client).parts
    assert predictor == "Predictor"
