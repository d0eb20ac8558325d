"""The Makefile: what is typed behind `make` means something, or is refused before anything runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_math.paths import ROOT
from deepseek_math.settings import VARIABLES


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the Makefile needs of a clone: nothing is installed in it."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "deepseek_math").symlink_to(ROOT / "deepseek_math")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / "tests").mkdir()  # a folder of that name: make would call a goal `tests` up to date
    return tmp_path


def make(clone: Path, *words: str, path: str | None = None, dry: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *(["--dry-run"] if dry else []), *words],
        cwd=clone,
        env=environment | ({"PATH": path} if path else {"PYTHON": sys.executable}),
        capture_output=True,
        text=True,
        check=False,
    )


SLIPS = [
    (
        ["predict", "prompt=What is 2 + 2?"],
        "prompt= means nothing. A question goes into PROMPT, in quotes: make predict PROMPT=",
    ),
    (["predict", "question=x"], "A question goes into PROMPT"),
    (["predict", "PROMT=x"], "Did you mean PROMPT=?"),
    (["predict", "TEMPERATURE=0.7"], 'INPUTS="temperature=..."'),
    (["predict", "PROMPT=x", "max_tokens=5"], 'INPUTS="max_tokens=..."'),
    (["predict", "INPUTS=seed=1", "temperature=0.7"], 'INPUTS="temperature=..."'),
    (["predict", "checkpoint=rl"], "make predict CHECKPOINT=..."),
    (["predict", "CHECKPONT=rl"], "Did you mean CHECKPOINT=?"),
    (["predict", "MODEL=rl"], "Did you mean CHECKPOINT=?"),
    (["predict", "samples=8"], "make predict SAMPLES=..."),
    (["predict", "PORT=5001"], "make predict takes no PORT, but make serve does"),
    (["predict", "colour=red"], "docs/settings.md has all variables, docs/inputs.md all inputs"),
    (["serve", "port=5001"], "make serve PORT=..."),
    (["serve", "PROMPT=x"], "make serve takes no PROMPT, but make predict does"),
    (["serve", "temperature=0.7"], 'INPUTS="temperature=..."'),
    (["chat-terminal", "INPUTS=mode=chat", "seed=1"], ' make chat-terminal INPUTS="seed=..."'),
    (["chat-terminal", "inputs=seed=1"], "make chat-terminal INPUTS=..."),
    (["test", "CHECKPOINT=rl"], "make test takes no CHECKPOINT"),
    (["PROMPT=What is 2 + 2?"], "make help takes no PROMPT, but make predict does"),
    (["What is 2 + 2?"], 'A question goes into PROMPT, in quotes: make predict PROMPT="What is 2 + 2?"'),
    (["predict", "What is 2 + 2?"], 'make predict PROMPT="What is 2 + 2?"'),
    (["predict", "What", "is", "2+2?"], 'make predict PROMPT="What is 2+2?"'),
    (["predict", "PROMPT=What", "is", "2+2?"], 'make predict PROMPT="What is 12 + 30?"'),
    (["predict", "Solve 3x+5=20."], 'make predict PROMPT="Solve 3x+5=20."'),
    (["predict", "3x+5=20"], "A question goes into PROMPT"),
    (["predict", 'it\'s $x$ "q"'], "A question goes into PROMPT"),
    (["tests"], "make has no goal tests. `make` lists all. Did you mean make test?"),
    (["predikt"], "Did you mean make predict?"),
    (["run"], "Did you mean make predict?"),
    (["install"], "Did you mean make setup?"),
    (["evaluate"], ".venv/bin/dsm evaluate --help"),
    (["train"], ".venv/bin/dsm train --help"),
    (["xyzzy"], "make has no goal xyzzy."),
]


@pytest.mark.parametrize(("words", "said"), SLIPS)
def test_what_means_nothing_is_refused_before_anything_runs(clone: Path, words: list[str], said: str) -> None:
    done = make(clone, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "PROMPT=What is 2 + 2?", "INPUTS=seed=1", "SAMPLES=8", "CHECKPOINT=demo", "SLOTS=4"],
        ["serve", "PORT=5001", "CHECKPOINT=tiny-rl"],
        ["predict", "PYTHON=python3.12", "PIP_INDEX_URL=x"],
        ["push", "CHECKPOINT=rl", "TO=registry/name", "DRY=1"],
        ["lock", "LOCK=--upgrade"],
        ["help"],
        [],
    ],
)
def test_what_means_something_is_not_refused(clone: Path, words: list[str]) -> None:
    done = make(clone, *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.unit
def test_every_setting_may_stand_on_the_command_line() -> None:
    taken = (ROOT / "Makefile").read_text().split("\ntakes := ")[1].split("\n\n")[0].replace("\\\n", " ").split()
    assert set(VARIABLES) - {"CHECKPOINT"} <= set(taken)


@pytest.mark.parametrize("goal", ["predict", "chat-terminal"])
def test_nothing_is_said_of_a_variable_that_means_something(clone: Path, goal: str) -> None:
    done = make(clone, goal, "INPUTS=seed=1", "SLOTS=2", f"PYTHON={sys.executable}", "PIP_INDEX_URL=x", "colour=red")
    assert "colour= means nothing" in done.stderr
    assert not any(name in done.stderr for name in ("INPUTS", "SLOTS", "PYTHON", "PIP"))


def python(folder: Path, name: str, version: tuple[int, int] | None) -> None:
    """A Python of that version as far as the Makefile asks, or a shim that is found and does not run."""
    if version is None:
        script = f'#!/bin/sh\necho "pyenv: {name}: command not found" >&2\nexit 127\n'
    else:
        change = f"import sys; sys.version_info = ({version[0]}, {version[1]}, 0, 'final', 0); "
        script = f'#!/bin/sh\nexec {sys.executable} -c "{change}$2"\n'
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


CHOICES: list[tuple[dict[str, tuple[int, int] | None], str | None]] = [
    ({"python3.11": (3, 11), "python3.12": (3, 12)}, "python3.11"),
    ({"python3.11": None, "python3.12": None, "python3.13": (3, 13)}, "python3.13"),
    ({"python3.11": None, "python3": (3, 12)}, "python3"),
    ({"python3": (3, 10), "python": (3, 13)}, "python"),
    ({"python3": (3, 14), "python3.12": None}, None),
    ({}, None),
]


@pytest.mark.parametrize(("installed", "chosen"), CHOICES)
def test_the_first_python_that_runs_is_taken(
    clone: Path, installed: dict[str, tuple[int, int] | None], chosen: str | None
) -> None:
    folder = clone / "bin"
    folder.mkdir()
    for tool in ("sh", "awk", "rm", "grep", "touch"):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    (folder / "make").symlink_to(shutil.which("make") or "")
    for name, version in installed.items():
        python(folder, name, version)
    done = make(clone, "setup", path=str(folder))
    assert done.returncode == 0, done.stderr
    if chosen:
        assert f"{folder / chosen} -m venv .venv" in done.stdout
    else:
        assert 'test -n "" || { echo "No Python 3.11, 3.12 or 3.13' in done.stdout


def environment(clone: Path, *, pip: str | None, runs: bool = True) -> None:
    """A .venv with a Python and, unless it was never finished, a pip whose first line names its place.

    The Python only runs programs of a line: `-m pip` would install into the one behind it.
    """
    (clone / ".venv/bin").mkdir(parents=True)
    interpreter = sys.executable if runs else clone / "gone"
    (clone / ".venv/bin/python").write_text(f'#!/bin/sh\n[ "$1" = -c ] || exit 1\nexec {interpreter} "$@"\n')
    (clone / ".venv/bin/python").chmod(0o755)
    if pip:
        (clone / ".venv/bin/pip").write_text(f"#!{pip}/.venv/bin/python3\n")


def remade(clone: Path) -> tuple[bool, str]:
    """Whether .venv was removed and a Python asked for a new one, which this one refuses; and what was said."""
    python = clone / "python"
    python.write_text('#!/bin/sh\necho "called with $*"\nexit 1\n')
    python.chmod(0o755)
    done = make(clone, "setup", f"PYTHON={python}", dry=False)
    return not (clone / ".venv").exists() and "called with -m venv .venv" in done.stdout, done.stdout


@pytest.mark.parametrize("fault", ["unfinished", "moved", "python gone"])
def test_an_environment_that_is_not_whole_is_made_anew(clone: Path, fault: str) -> None:
    pip = {"unfinished": None, "moved": "/somewhere/else", "python gone": str(clone)}[fault]
    environment(clone, pip=pip, runs=fault != "python gone")
    make(clone, "setup")  # --dry-run
    assert (clone / ".venv/bin").exists()
    anew, said = remade(clone)
    assert anew
    assert ".venv is not whole: it is made anew." in said


def test_an_environment_that_is_whole_stays(clone: Path) -> None:
    environment(clone, pip=str(clone))
    assert not remade(clone)[0]
    assert (clone / ".venv/bin/pip").exists()


def runs(place: str) -> bool:
    return not subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode


@pytest.mark.parametrize("name", ["python3.12", "python3.13"])
def test_the_service_s_code_is_read_by_the_other_pythons(name: str) -> None:
    """Where they are installed. CI runs all tests with its own."""
    beside = Path(sys.base_prefix).parent.glob(f"{name.removeprefix('python')}*/bin/{name}")  # as pyenv has them
    places = [shutil.which(name), *map(str, beside)]
    found = next((place for place in places if place and runs(place)), None)
    if not found:
        pytest.skip(f"no {name} runs here")
    program = (
        "import pathlib; "
        "[compile(file.read_text(), str(file), 'exec') for file in pathlib.Path('deepseek_math').rglob('*.py')]"
    )
    done = subprocess.run(
        [found, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
