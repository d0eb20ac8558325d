"""The files around the code say what the code says."""

import re
import subprocess
import sys

import pytest

from deepseek_math.cog import schema
from deepseek_math.paths import ROOT


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith(("#", "-r")))
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in found.values()), name
    return found


def test_every_package_is_pinned_and_the_pins_agree() -> None:
    container, run, dev = pins("requirements.txt"), pins("requirements-run.txt"), pins("requirements-dev.txt")
    local = run | dev | pins("requirements-tool.txt")
    assert set(pins("requirements-evaluate.txt")) == {"matplotlib", "ray[data]"}
    bench = pins("requirements-bench.txt")
    assert bench.items() <= (dev | pins("requirements-evaluate.txt")).items()
    assert {name for name in container if name not in local} == {"torchvision"}
    assert {name for name in container if name in local and container[name] != local[name]} == {"torch"}
    assert {"torch", "torchvision", "transformers", "accelerate", "hf_transfer"} <= set(container)
    assert "torchvision" not in local


def test_training_packages_are_pinned_and_never_in_the_container() -> None:
    training = pins("requirements-train.txt")
    assert {"trl", "datasets", "peft", "gguf", "matplotlib"} == set(training)
    assert not set(training) & set(pins("requirements.txt"))
    assert "deepseek_math/training" in (ROOT / ".dockerignore").read_text().splitlines()


def test_cog_runs_what_is_tested_here() -> None:
    config = (ROOT / "cog.yaml").read_text()
    assert f'predict: "{schema.REFERENCE}"' in config
    assert f'sdk_version: "{pins("requirements-run.txt")["cog"]}"' in config
    assert "python_requirements: requirements.txt" in config


def test_ci_runs_the_readme_s_own_command() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "make test"
    assert "make test" in (ROOT / "README.md").read_text()


def test_no_checkpoint_is_in_git_but_the_tiny_family() -> None:
    tracked = subprocess.run(["git", "ls-files", "weights"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in tracked.stdout.split() if not name.startswith("weights/tiny/")]
    assert names == ["weights/README.md"]


@pytest.mark.parametrize("variable", ["PROMPT", "INPUTS"])
def test_make_passes_a_prompt_and_inputs_on_as_they_were_typed(variable: str) -> None:
    """make has a meaning of its own for dollars, and a shell for quotes: mathematics is full of both."""
    for prompt in (r"What is $\frac{1}{2}$ of $$x^2$$?", 'it\'s "5" `x` \\boxed{} #1 %s', "-x^2=4?", "1\n2", "求 $x$"):
        program = f"import os, sys; sys.stdout.write(os.environ['{variable}'])"
        makefile = (ROOT / "Makefile").read_text() + f'\nshow:\n\t@{sys.executable} -c "{program}"\n'
        command = ["make", "--no-print-directory", "-f", "-", "show", f"{variable}={prompt}"]
        shown = subprocess.run(command, input=makefile, cwd=ROOT, capture_output=True, text=True, check=True)
        assert shown.stdout == prompt
