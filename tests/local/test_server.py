"""`make predict` and `make serve` without make: what a newcomer's first command does, and what it leaves behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deepseek_math.local import client
from deepseek_math.local.server import LocalServer, ServerFailed
from deepseek_math.paths import ROOT
from tests.support.deepseek_tokenizer import EOS
from tests.support.hostile_completions import HostileCompletions, Play
from tests.support.loopback import running
from tests.support.predictor_inputs import SLOW_SETUP


@contextmanager
def command(*arguments: str, checkpoint: str = "demo") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "deepseek_math", *arguments],
        cwd=ROOT,
        env={**os.environ, "CHECKPOINT": checkpoint},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def test_one_command_streams_an_answer_and_leaves_nothing_running() -> None:
    with command("predict", "What is 12 + 30?", "max_new_tokens=24", "mode=chat") as process:
        children: set[psutil.Process] = set()
        assert process.stdout is not None
        while process.poll() is None and not children:
            children |= set(family(process))
            time.sleep(0.05)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.strip()
    for line in (
        "question: What is 12 + 30?",
        "checkpoint tiny-rl",
        "tiny-rl knows short arithmetic",
        "DeepSeekMath 7B is CHECKPOINT=rl",
        "loaded on llama_cpp",
        "warmed up",
        "completion_tokens",
        "time_to_first_token",
    ):
        assert line in err
    assert children
    assert gone(list(children))


def test_a_prediction_that_fails_says_why_and_exits_with_an_error() -> None:
    with command("predict", EOS) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"control_token: The prompt holds {EOS!r}" in err
    log = Path(err.split("the server's log: ")[1].strip())
    assert "control_token" in log.read_text()
    log.unlink()


def test_a_server_behind_the_service_that_is_not_there_is_waited_for_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_URL", "http://127.0.0.1:9")  # nobody listens on the port of `discard`
    with command("predict", "Hi") as process:
        assert process.stderr is not None
        line = ""
        while "waiting for" not in line:
            line = process.stderr.readline()
            assert line, process.wait(10)
        assert line.startswith("waiting for 127.0.0.1:9, 0 s so far: no answer")
        assert line.endswith("Is it running, and is ENGINE_URL right?\n")
        children = family(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert gone(children)


def test_a_server_behind_the_service_that_can_not_be_used_is_told_by_its_reason_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refusal that led to it is in the log, with its traceback."""
    with running(HostileCompletions()) as server:
        server.probes = [Play(status=400, body='{"error": {"message": "prompt must be a string."}}')] * 2
        monkeypatch.setenv("ENGINE_URL", server.url)
        with command("predict", "Hi") as process:
            _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "\nengine_unusable: The server at " in err
    assert "refuses the request (HTTP 400: prompt must be a string). It seems to take text alone" in err
    assert "engine_refused" not in err
    assert "Traceback" not in err
    Path(err.split("The server's log: ")[1].strip()).unlink()


def test_words_that_name_no_input_are_refused_at_once() -> None:
    with command(
        "predict", "--inputs", r"seed=1 'expected_answer=\frac{1}{2} of $x^2$' nonsense=\pi", "--", "Hi"
    ) as process:
        _, err = process.communicate(timeout=60)
    assert "No input is called nonsense" in err
    with command("predict", "--inputs", "'stop=it", "--", "Hi") as process:
        assert "a quote is not closed" in process.communicate(timeout=60)[1]


def test_a_checkpoint_that_does_not_exist_is_named_at_once() -> None:
    with command("predict", "Hi", checkpoint="no-such-thing") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "checkpoint_unknown: 'no-such-thing' is neither" in err
    assert "base, instruct, rl, rl-q4_k_m" in err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_the_server_stops_all_of_it(how: signal.Signals) -> None:
    port = LocalServer().port  # a free one
    with command("serve", "--port", str(port)) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health-check").json()["status"] == "READY":
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        children = family(process)
        assert len(children) >= 2
        process.send_signal(how)
        process.communicate(timeout=30)
        assert gone(children)


def test_a_setup_that_fails_shows_its_traceback(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(ServerFailed) as failed, LocalServer(environment={"CHECKPOINT": str(broken)}):
        pass
    assert str(failed.value).startswith("checkpoint_unusable: ")
    log = Path(str(failed.value).split("The server's log: ")[1])
    assert "Traceback" in log.read_text()
    log.unlink()


def test_a_port_that_is_taken_is_refused_and_the_other_server_left_alone(server: LocalServer) -> None:
    with command("serve", "--port", str(server.port)) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Port {server.port} can't be served on" in err
    assert server.log.exists()
    assert server.health()["status"] == "READY"


def test_an_input_that_does_not_exist_is_refused_before_anything_starts() -> None:
    with command("predict", "Hi", "temprature=5") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "No input is called temprature. Did you mean temperature? There are prompt, mode" in err
    assert "checkpoint" not in err


def test_the_server_listens_on_loopback_alone(server: LocalServer) -> None:
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    listening = [
        connection.laddr.ip
        for process in [parent, *parent.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_the_tally_of_a_vote_is_drawn_as_bars() -> None:
    votes = [{"answer": "42", "count": 4}, {"answer": "\\frac{123456789}{987654321}", "count": 2}]
    assert client.bars(votes, silent=1) == [
        "  42                       ################################ 4",
        "  \\frac{123456789}{9876... ################ 2",
        "  no answer                ######## 1",
    ]
    assert client.bars(votes[:1], silent=0) == ["  42                       ################################ 4"]
    assert client.bars([], silent=2) == ["  no answer                ################################ 2"]


@pytest.mark.parametrize(
    ("setting", "code"),
    [("samples=65", "samples_out_of_range"), ("samples=abc", "samples_out_of_range"), ("seed=-1", "seed_out_of_range")],
)
def test_a_wrong_input_is_refused_before_anything_is_loaded(setting: str, code: str) -> None:
    with command("predict", "1+1?", setting, checkpoint="/no/such/checkpoint") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith(code)


def test_a_vote_from_the_command_line_shows_its_tally_under_the_text(server: LocalServer) -> None:
    command = [sys.executable, "-m", "deepseek_math", "predict", "--url", server.url, "What is 12 + 30?"]
    settings = ["samples=3", "mode=chat", "max_new_tokens=12"]
    done = subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert re.search(r"^  \S.* #+ \d$", done.stderr, re.MULTILINE)
    assert re.search(r"^  samples_used +[23]$", done.stderr, re.MULTILINE)
    assert "{" not in done.stderr  # the tally's raw form


def test_what_setup_says_is_shown_while_it_is_at_work(tmp_path: Path) -> None:
    """A download may take an hour, and Cog tells of a setup only once it has ended."""
    said: list[tuple[str, object]] = []
    shutil.copy(ROOT / "tests/support/predictors/slow_setup.py", tmp_path)
    server = LocalServer(
        reference="slow_setup.py:Predictor",
        inputs=SLOW_SETUP,
        folder=tmp_path,
        concurrency=1,
        say=lambda line: said.append((line, server.health().get("status"))),
    )
    with server:
        assert said[0] == ("step one", "STARTING")
        assert [line for line, _ in said] == ["step one", "step two"]


def test_a_killed_command_leaves_no_server_and_no_model_behind(tmp_path: Path) -> None:
    """Nothing can be cleaned up after SIGKILL: the server must notice by itself."""
    shutil.copy(ROOT / "tests/support/predictors/slow_setup.py", tmp_path)
    program = (
        "import sys, time; from pathlib import Path; from deepseek_math.local.server import LocalServer\n"
        "from tests.support.predictor_inputs import SLOW_SETUP\n"
        "where = {'reference': 'slow_setup.py:Predictor', 'folder': Path(sys.argv[1])}\n"
        "with LocalServer(**where, inputs=SLOW_SETUP, concurrency=1):\n"
        "    print('ready', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = family(process)
    assert len(children) >= 2  # the server and its worker, which holds the model
    process.kill()
    process.communicate()
    assert gone(children)
