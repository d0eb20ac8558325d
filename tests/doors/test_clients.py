"""The door, by clients that others wrote: each runs in its own environment, and is proved by the same checks.

`python/checks.py` and `javascript/checks.js` say what is asked; each script beside them is one client.
"""

import os
import subprocess
from pathlib import Path

import pytest

from deepseek_math.paths import ROOT

HERE = Path(__file__).parent
ENVIRONMENTS = ROOT / ".venv"  # `environment` makes them, and node_modules
ALONE = {"with_llama_index": "llama_index"}  # scripts whose packages don't get on with the others'
PYTHON = sorted(path.stem for path in (HERE / "python").glob("with_*.py"))
JAVASCRIPT = sorted(path.stem for path in (HERE / "javascript").glob("with_*.js"))


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    """What it says on standard output. Its home is an empty folder, so that no setting of the user's counts."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "LLM_USER_PATH": str(folder)}
        | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


def doors(demo_door: str, chinese_door: str) -> dict[str, str]:
    return {"DEMO": f"{demo_door}/v1", "CHINESE": f"{chinese_door}/v1"}


@pytest.mark.parametrize("script", PYTHON)
def test_a_python_client_gets_what_it_asks_for(script: str, demo_door: str, chinese_door: str, tmp_path: Path) -> None:
    python = ENVIRONMENTS / ALONE.get(script, "doors") / "bin" / "python"
    said = run([str(python), "-m", f"tests.doors.python.{script}"], doors(demo_door, chinese_door), tmp_path)
    assert said.endswith("leaving_frees_the_engine\n")


@pytest.mark.parametrize("script", JAVASCRIPT)
def test_a_javascript_client_gets_what_it_asks_for(
    script: str, demo_door: str, chinese_door: str, tmp_path: Path
) -> None:
    said = run(["node", str(HERE / "javascript" / f"{script}.js")], doors(demo_door, chinese_door), tmp_path)
    assert said.endswith("leavingFreesTheEngine\n")
