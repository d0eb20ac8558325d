"""The door, by clients that others wrote: each runs in its own environment, and is proved by the same checks.

`python/checks.py` and `javascript/checks.js` say what is asked; each script beside them is one client.
"""

import json
import os
import shutil
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


def test_lm_eval_scores_what_the_demo_knows(demo_door: str, tmp_path: Path) -> None:
    """As a user of its has it: a task of ours, asked through `local-chat-completions`."""
    shutil.copytree(HERE / "lm_eval", tmp_path, dirs_exist_ok=True)
    python = ENVIRONMENTS / "doors" / "bin" / "python"
    door = f"base_url={demo_door}/v1/chat/completions,model=tiny-rl,num_concurrent=2,max_retries=1"
    options = ["--tasks", "arithmetic", "--include_path", ".", "--apply_chat_template", "--output_path", "out"]
    command = [str(python), "-m", "lm_eval", "run", "--model", "local-chat-completions", "--model_args", door, *options]
    run(command, {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1"}, tmp_path)
    (results,) = tmp_path.glob("out/**/results_*.json")
    scores = json.loads(results.read_text())["results"]["arithmetic"]
    assert scores["exact_match,boxed"] == 1.0
