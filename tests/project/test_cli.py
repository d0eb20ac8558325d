"""The command `dsm`."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepseek_math import __version__, cli
from deepseek_math.paths import ROOT
from deepseek_math.signals import run_until_stopped

MAIN = [sys.executable, "-m", "deepseek_math"]


@pytest.mark.unit
def test_help_has_one_line_for_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert cli.main([]) == 0
    assert capsys.readouterr().out == text
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(lines) == len(cli.COMMANDS)
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.unit
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_s_entry_takes_arguments_and_is_called_by_its_name_in_its_help(name: str) -> None:
    """Read from the source: some of the modules need packages that are not installed everywhere."""
    module, _, function = cli.COMMANDS[name].entry.partition(":")
    source = (ROOT / "deepseek_math" / f"{module.replace('.', '/')}.py").read_text()
    entry = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == function)
    assert ast.unparse(entry.args) == "arguments: Sequence[str] | None=None"
    assert ast.unparse(entry.returns or ast.Constant("nothing")) == "int"


@pytest.mark.parametrize("name", ["predict", "serve", "checkpoints", "fetch", "evaluate", "image", "push", "schema"])
def test_a_command_s_help_names_it_as_it_is_called(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dsm {name} ")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predikt", "Hi"], "dsm has no command 'predikt'. Did you mean predict?"),
        (["train", "gpro"], "dsm has no command 'train gpro'. Did you mean train grpo?"),
        (["bench", "sevenb", "load"], "dsm has no command 'bench sevenb'. Did you mean bench seven-b?"),
        (["xyzzy"], "dsm has no command 'xyzzy'. `dsm --help` lists them."),
        (["--port", "5001"], "dsm has no command '--port'."),
    ],
)
def test_a_command_that_does_not_exist_is_refused_with_the_nearest_name(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.unit
def test_the_stages_of_training_are_listed_by_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert "train pretrain" in text
    assert "serve" not in text.replace("are served", "")


@pytest.mark.unit
def test_a_package_that_is_missing_is_named_with_the_goal_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'trl'", name="trl")

    monkeypatch.setattr("importlib.import_module", missing)
    assert cli.main(["train", "grpo", "out"]) == 1
    assert capsys.readouterr().err == "dsm train grpo needs the package trl. Install it with: make setup-train\n"


HEAVY = "torch transformers accelerate datasets peft trl gguf matplotlib ray"  # what `make setup` does not install


def test_help_needs_no_package_of_the_stage() -> None:
    """In a process of its own, in which these packages can't be imported."""
    program = f"""
import sys
sys.modules |= dict.fromkeys({HEAVY!r}.split())
from deepseek_math import cli
for name in cli.COMMANDS:
    if name.startswith("train ") or name == "bench":
        try:
            status = cli.main([*name.split(), "--help"])
        except SystemExit as ended:
            status = ended.code
        assert status == 0, name
assert cli.main(["train", "plot", "logs", "picture.png"]) == 1
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: dsm ") == 8
    assert done.stderr == "dsm train plot needs the package matplotlib. Install it with: make setup-train\n"


@pytest.mark.unit
def test_the_code_knows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dsm {__version__}\n"


def test_it_works_from_any_folder_with_the_caller_s_own_paths(tmp_path: Path) -> None:
    """The log, the schema and the weights are the repository's; a checkpoint's path is the caller's."""
    (tmp_path / "mine.gguf").symlink_to(ROOT / "weights/tiny/rl.gguf")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CHECKPOINT": "mine.gguf"}
    command = [*MAIN, "predict", "What is 12 + 30?", "mode=chat", "seed=1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.gguf"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_in_order(number: signal.Signals, status: int) -> None:
    """Also where Ctrl-C is ignored at the start, as in a shell's background jobs."""
    program = (
        "import asyncio, signal, sys; from deepseek_math.signals import run_until_stopped\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "async def work():\n"
        "    try: print('ready', flush=True); await asyncio.sleep(600)\n"
        "    finally: print('cleaned up', flush=True)\n"
        "sys.exit(run_until_stopped(lambda: asyncio.run(work()), 'stopped'))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (status, "cleaned up\n", "\nstopped\n")


@pytest.mark.unit
def test_signals_are_handled_as_before_once_the_command_has_ended() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run_until_stopped(lambda: 3, "stopped") == 3
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
