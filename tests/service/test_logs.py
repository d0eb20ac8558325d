"""LOG_PROMPTS=0 keeps the words of clients and models out of the log; codes and numbers stay."""

import io
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.errors import CODES, QUOTING, ServiceError
from deepseek_math.local.client import stream
from deepseek_math.local.server import LocalServer
from deepseek_math.logs import Private, WithoutWords
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.service import Service
from tests.conftest import ONE_THREAD
from tests.support.scripted_engine import ScriptedEngine, Step

WORD = "zebra"
ROLE = {"role": WORD, "content": WORD}
PRIVATE: list[tuple[dict[str, Any], Sequence[Step], str]] = [
    # inputs, what the engine does, what the log still says
    ({"prompt": WORD}, [f"{WORD} \\boxed{{5}}"], "prompt (mode cot, "),
    ({"prompt": "?", "expected_answer": f"{WORD}=99999^99999^999"}, ["\\boxed{x+1}"], "not equal: took over"),
    ({"prompt": "?"}, [f"\\boxed{{{WORD}}}"], "metrics: "),
    ({"prompt": "?", "samples": 2}, [f"\\boxed{{{WORD}}}"], '"agreement": 1.0'),
    ({"prompt": WORD, "messages": [ROLE]}, [], "messages_invalid"),
    ({"prompt": WORD, "mode": WORD}, [], "mode_unknown"),
    ({"prompt": WORD}, [RuntimeError(WORD)], "RuntimeError"),
    ({"prompt": WORD}, [ServiceError("engine_failed", f"It said {WORD}.")], "engine_failed"),
]


@pytest.fixture(params=[True, False], ids=["without", "with"])
def without(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def log(without: bool) -> Iterator[io.StringIO]:
    """What the service logs, without the words or with them."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    if without:
        handler.addFilter(WithoutWords())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(autouse=True)
async def no_workers_left() -> AsyncIterator[None]:
    yield
    await judge().close()


@pytest.mark.parametrize(("inputs", "script", "said"), PRIVATE)
async def test_words_are_logged_only_where_they_may_be(
    log: io.StringIO, without: bool, inputs: dict[str, Any], script: Sequence[Step], said: str
) -> None:
    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    engine = ScriptedEngine(lambda prompt, sampling: script)
    service = Service(checkpoint, engine, Sandboxes(), log_prompts=not without)
    raised = ""
    try:
        async with aclosing(service.complete(inputs, lambda name, value: None)) as pieces:
            async for _ in pieces:
                pass
    except ServiceError as error:  # Cog's server logs its text
        raised = str(error)
    assert said in log.getvalue()
    assert (WORD in log.getvalue() + raised) is not without


def test_an_exception_is_logged_by_place_and_type_and_so_are_its_causes(log: io.StringIO, without: bool) -> None:
    def fails() -> None:
        try:
            raise KeyError(WORD)
        except KeyError as cause:
            raise ValueError(WORD) from cause

    try:
        fails()
    except ValueError:
        logging.getLogger("test").exception("a fault of %s", Private(WORD))
    text = log.getvalue()
    assert "in fails" in text
    assert "ValueError" in text
    assert "KeyError" in text
    assert (WORD in text) is not without


@pytest.mark.parametrize("code", CODES)
def test_a_sentence_that_may_quote_is_replaced_and_any_other_kept(code: str) -> None:
    error = ServiceError(code, "17 tokens").without_quotes()
    assert error.code == code
    assert ("17 tokens" in error.message) is (code not in QUOTING)


def test_the_server_logs_no_words(tmp_path: Path) -> None:
    """Cog's own lines included."""
    log = tmp_path / "log"
    with LocalServer(environment={"CHECKPOINT": "demo", "LOG_PROMPTS": "0", **ONE_THREAD}, log=log) as server:
        for inputs in ({"prompt": f"What is 12 + 30? {WORD}"}, {"prompt": WORD, "messages": [ROLE]}):
            list(stream(server.url, inputs))
        written = log.read_text()
    assert "prompt (mode cot, 40 tokens)" in written
    assert "messages_invalid" in written
    assert WORD not in written
