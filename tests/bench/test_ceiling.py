"""`dsm bench ceiling`: free engines say every word that is asked for, behind each adapter, and the table says of it."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from deepseek_math.bench import ceiling
from deepseek_math.bench.ceiling import Row, table
from deepseek_math.bench.free.adapters import ADAPTERS, engine
from deepseek_math.bench.free.words import LOGPROB, words
from deepseek_math.bench.http_program import HttpProgram
from deepseek_math.completion import Completion, complete
from deepseek_math.local.server import free_port
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    module = "deepseek_math.bench.free.completions_server"
    command = [sys.executable, "-m", module, "--port", str(port), "--rate", "200"]
    program = HttpProgram(command, port, tmp_path_factory.mktemp("free") / "log")
    program.start()
    program.wait_until_ready(60)
    yield program.url
    program.stop()


async def completion(opened: Any, sampling: Sampling) -> Completion:
    found = Completion()
    async with aclosing(complete(opened, Prompt("raw", "", (5, 6, 7)), sampling, found)) as pieces:
        async for _ in pieces:
            pass
    return found


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_every_word_of_a_free_engine_arrives_behind_every_adapter(adapter: str, completions: str) -> None:
    opened = engine(adapter, 200.0, completions)
    await opened.start()
    try:
        for seen in (True, False):
            sampling = Sampling(max_new_tokens=50, temperature=0.7, logprobs=True, seen=seen)
            for found in await asyncio.gather(*(completion(opened, sampling) for _ in range(3))):
                assert (found.tokens, found.finish_reason) == (50, "length")
                assert found.text.split() == words(1, 50).split() or adapter == "transformers"
                assert found.logprobs == [LOGPROB] * 50
    finally:
        await opened.close()


def test_the_command_measures_and_leaves_nothing_running(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ceiling, "VOTE", 3)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    assert ceiling.main(["--only", "free", "remote", "--streams", "2", "--seconds", "0.2"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    rows = [Row(**row) for row in json.loads(last)]
    assert [(row.adapter, row.load) for row in rows] == [
        ("free", "2 alone"),
        ("free", "2"),
        ("free", "vote"),
        ("remote", "2 alone"),
        ("remote", "2"),
        ("remote", "vote"),
    ]
    assert all(row.micros > 0 and 0 < row.kept <= 1 for row in rows)
    assert all(bool(row.carried) == (row.load == "2") for row in rows)
    assert len(lines) == 2 + len(rows)
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def test_the_table_tells_what_is_beyond_the_floor() -> None:
    rows = [
        Row("free", "64", 50.0, 1.0, 12000.0),
        Row("remote", "64", 80.0, 0.9, 9000.0),
        Row("remote", "vote", 20.0, 1.0),
    ]
    assert table(rows).splitlines()[2:] == [
        "| none (the floor) | 64 | 50 | - | 100% | 12,000 | 1.00 |",
        "| remote, vLLM's events | 64 | 80 | +30 | 90% | 9,000 | 0.75 |",
        "| remote, vLLM's events | vote of 64 | 20 | - | 100% | - | - |",
    ]


@pytest.mark.parametrize("wrong", [["--seconds", "0"], ["--streams", "0"], ["--streams", "65"]])
def test_what_measures_nothing_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ceiling.main(wrong) == 1
    assert "--seconds over 0, and --streams from 1 to 64" in capsys.readouterr().err


def test_the_predictor_is_where_the_command_takes_it_from() -> None:
    assert (Path(ceiling.__file__).parent / "free" / "ceiling_predictor.py").is_file()
