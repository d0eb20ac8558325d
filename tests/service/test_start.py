"""The start: its stages in one line, what goes on at the same time, and a sentence for whatever ends it."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from deepseek_math.checkpoints.table import TINY
from deepseek_math.errors import ServiceError
from deepseek_math.local.server import LocalServer
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.service import Service
from deepseek_math.settings import Settings
from deepseek_math.stages import Stages
from deepseek_math.start import start
from tests.support.scripted_engine import ScriptedEngine

DEMO = Settings(checkpoint="demo", slots=1, context=512, threads=1)


def test_each_stage_has_a_line_and_all_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 13.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    said: list[str] = []
    stages = Stages(said.append, before=0.4)
    stages.done("files", "files in place")
    stages.done("weights", "loaded")
    stages.end()
    assert said == ["files in place (0.5 s)", "loaded (2.5 s)", "ready after 3.4 s: server 0.4, files 0.5, weights 2.5"]


def test_the_log_ends_with_the_stages_and_holds_no_warning_of_cog_s(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log"
    environment = {"CHECKPOINT": "demo", "SLOTS": "1", "CONTEXT": "512", "THREADS": "1"}
    with LocalServer(environment=environment, say=said.append, log=log):
        setup = [line for line in log.read_text().splitlines() if '"target":"coglet::setup"' in line]
    assert said[-1].startswith("ready after ")
    stages = said[-1].split(": ")[1].split(", ")
    assert [each.split()[0] for each in stages] == ["server", "imports", "files", "weights", "warm-up", "sandbox"]
    assert not any("deprecated" in line for line in setup)


async def test_programs_packages_are_imported_while_the_weights_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = asyncio.Event()

    class Loading(ScriptedEngine):
        async def start(self) -> None:
            await asyncio.wait_for(importing.wait(), 60)

    async def start_sandboxes(_: Sandboxes) -> None:
        importing.set()

    monkeypatch.setattr(Sandboxes, "start", start_sandboxes)
    monkeypatch.setattr("deepseek_math.service.open_engine", lambda *_: Loading(lambda prompt, sampling: ["5"]))
    await Service.open(DEMO, lambda line: None)


async def test_a_checkpoint_that_can_t_be_loaded_leaves_no_process(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    whole = (TINY / "rl.gguf").read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        await Service.open(Settings(checkpoint=str(damaged), slots=1, context=512, threads=1), lambda line: None)
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [each for each in left if "sandbox" in " ".join(each.cmdline())]


async def test_a_module_that_can_t_be_imported_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepseek_math.service", None)
    with pytest.raises(ServiceError, match=r"^package_missing: The service can't be imported: .*service.* make image"):
        await start(None, print)


async def test_a_container_without_a_folder_to_write_to_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/src']")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(ServiceError, match=r"^folder_unwritable: No usable .* '/src'\]\. .* docker run --tmpfs /tmp"):
        await start(None, print)


async def test_a_fault_that_nobody_expected_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Settings:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(Settings, "read", broken)
    with pytest.raises(ServiceError, match=r"^internal_error: The start met an unexpected ZeroDivisionError \(of all"):
        await start(None, print)
