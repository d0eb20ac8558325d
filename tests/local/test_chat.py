"""A conversation: its turns are kept, nothing is dropped unasked, and Ctrl-C stops the answer alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.errors import ServiceError
from deepseek_math.local import chat, client
from deepseek_math.local.client import Event
from deepseek_math.local.conversation import Conversation
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.support.pseudo_terminal import CTRL_C, CTRL_D, ENTER, PASTE, UP, PseudoTerminal

ASK = ">>>"
TALK = Conversation().answered("What is 2 + 3?", " It is 5.").answered("And 5 + 1?", " It is 6.")


# A conversation by itself


def test_earlier_turns_are_sent_before_the_question() -> None:
    inputs = TALK.having({"seed": 1}).inputs("And 6 + 1?")
    assert inputs["prompt"] == "And 6 + 1?"
    assert [turn["content"] for turn in inputs["messages"]] == [
        "What is 2 + 3?",
        " It is 5.",
        "And 5 + 1?",
        " It is 6.",
    ]
    assert inputs["seed"] == 1


@pytest.mark.parametrize("mode", ["raw", "fewshot"])
def test_a_mode_of_one_text_sends_the_question_alone_and_the_turns_are_kept(mode: str) -> None:
    alone = TALK.having({"mode": mode})
    assert alone.inputs("x") == {"mode": mode, "prompt": "x"}
    assert alone.turns == TALK.turns


@pytest.mark.parametrize("question", ["And 6 + 1?", "/retry"])
def test_an_answer_without_a_letter_is_no_turn_and_takes_the_place_of_none(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([" It is 5.", " \n"])

    def events(url: str, inputs: dict[str, Any]) -> Iterator[Event]:
        yield Event("output", {"chunk": next(answers)}, 0.0)
        yield Event("completed", {"status": "succeeded", "metrics": {"completion_tokens": 1}}, 0.0)

    monkeypatch.setattr(client, "stream", events)
    talk = chat.Chat("http://127.0.0.1", Conversation())
    assert talk.take("What is 2 + 3?")
    assert talk.take(question)
    assert talk.conversation == Conversation().answered("What is 2 + 3?", " It is 5.")


def test_an_input_that_would_be_refused_is_not_taken() -> None:
    with pytest.raises(ServiceError, match="samples_out_of_range"):
        TALK.having({"samples": 65})


def test_an_input_without_a_value_has_its_default_again() -> None:
    assert TALK.having({"seed": 1}).having({"seed": None}) == TALK


@pytest.mark.parametrize(("excess", "count"), [(1, 1), (24, 1), (25, 2), (500, 2)])
def test_as_many_turns_would_be_dropped_as_make_room(excess: int, count: int) -> None:
    """The two turns have 23 and 19 of 50 characters, so about 23 of 50 tokens are the first one's."""
    talk = Conversation().answered("a" * 20, "b" * 4).answered("c" * 16, "d" * 4)
    assert talk.too_many("e" * 6, prompt_tokens=50, excess=excess) == count


def test_a_conversation_is_saved_as_the_api_takes_it_and_replaces_no_file(tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    TALK.having({"seed": 1}).save(file)
    assert json.loads(file.read_text()) == {"input": {"seed": 1, "messages": TALK.messages}}
    with pytest.raises(FileExistsError, match="is there already"):
        TALK.save(file)


@pytest.mark.parametrize(
    ("checkpoint", "given", "mode"),
    [("tiny-base", {}, "fewshot"), ("tiny-base", {"mode": "raw"}, "raw"), ("demo", {}, "auto")],
)
def test_a_base_checkpoint_is_asked_with_examples_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, checkpoint: str, given: dict[str, str], mode: str
) -> None:
    monkeypatch.setenv("CHECKPOINT", checkpoint)
    assert chat._for_base(Conversation().having(given)).mode == mode


# From a pipe


def piped(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deepseek_math", "chat", *arguments]
    return subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_each_line_of_a_pipe_is_the_next_question_and_only_answers_go_to_stdout(demo: LocalServer) -> None:
    done = piped("What is 12 + 30?\n\nWhat is 3 + 4?\n/turns\n", "--url", demo.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The answer is") == 2
    assert "boxed{42}" in done.stdout
    assert "boxed{7}" in done.stdout
    assert "answer 42" in done.stderr
    assert "2. What is 3 + 4?" in done.stderr


def test_a_question_that_fails_fails_the_pipe_and_the_next_one_is_asked(demo: LocalServer) -> None:
    done = piped("/set top_k=-1\nWhat is 12 + 30?\n", "--url", demo.url)
    assert done.returncode == 1
    assert "top_k_out_of_range" in done.stderr
    assert "boxed{42}" in done.stdout


def test_quit_ends_a_pipe_as_it_ends_a_conversation(demo: LocalServer) -> None:
    done = piped("/seed 1\n/quit\nWhat is 12 + 30?\n", "--url", demo.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_full_context_names_the_turns_that_would_go_and_drops_none(demo: LocalServer) -> None:
    lines = "What is 12 + 30?\nWhat is 3 + 4?\n/set max_new_tokens=4000\nWhat is 9 * 9?\n/turns\n/drop 1\n/retry\n"
    done = piped(lines, "--url", demo.url)
    said = done.stderr
    assert "context_exceeded" in said
    assert "To go on, 1 turn would have to go:\n  1. What is 12 + 30?\n/drop 1 does that, then /retry." in said
    kept = said.split("/retry. Or")[1]
    assert "1. What is 12 + 30?" in kept.split("dropped")[0]
    assert "2. What is 3 + 4?" in kept.split("dropped")[0]
    assert "boxed{81}" in done.stdout


def test_retry_takes_the_place_of_the_last_answer(demo: LocalServer) -> None:
    done = piped("/retry\nWhat is 12 + 30?\n/retry\n/turns\n", "--url", demo.url)
    assert "Nothing was asked yet." in done.stderr
    assert "Decoding is greedy, so the text will be the same." in done.stderr
    assert done.stdout.count("boxed{42}") == 2
    assert "1. What is 12 + 30?" in done.stderr
    assert "2. " not in done.stderr


def test_commands_that_mean_nothing_are_refused_in_a_sentence(demo: LocalServer) -> None:
    done = piped(
        "/bogus\n/mode poem\n/set x\n/set mod=cot\n/set prompt=x\n/drop\n/save\n/quit now\n", "--url", demo.url
    )
    for sentence in (
        "There is no /bogus.",
        "mode is 'poem'",
        "'x' is not of the form name=value.",
        "Did you mean mode?",
        "The conversation itself sets prompt.",
        "/drop N drops the N oldest of the 0 turns.",
        "/save FILE writes",
    ):
        assert sentence in done.stderr
    assert done.returncode == 1


def test_no_service_is_a_sentence() -> None:
    done = piped("What is 2 + 3?\n", "--url", "http://127.0.0.1:9")
    assert "No service can be reached at http://127.0.0.1:9" in done.stderr
    assert done.returncode == 1


# In a terminal


def test_a_conversation_in_a_terminal_has_history_paste_and_an_end(demo: LocalServer) -> None:
    with PseudoTerminal(["chat", "--url", demo.url]) as terminal:
        terminal.wait_for(ASK)
        terminal.press("What is 12 + 30?" + ENTER)
        terminal.wait_for("answer 42", ASK)
        terminal.press(UP)
        terminal.wait_for("What is 12 + 30?")
        terminal.press(ENTER)
        terminal.wait_for("answer 42", ASK)
        terminal.press(PASTE.format("What is\n3 + 4?"))
        terminal.wait_for("3 + 4?")
        terminal.press(ENTER)
        terminal.wait_for("answer 7", ASK)
        terminal.press("/turns" + ENTER)
        terminal.wait_for("3. What is 3 + 4?", ASK)
        terminal.press(CTRL_D)
        assert terminal.ended() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(server: LocalServer) -> None:
    with PseudoTerminal(["chat", "--url", server.url, "mode=raw", "max_new_tokens=4000", "temperature=1"]) as terminal:
        terminal.wait_for(ASK)
        terminal.press("Tell me all." + ENTER)
        terminal.wait_for_letters(200)
        terminal.press(CTRL_C)
        terminal.wait_for("stopped", ASK)
        terminal.press("/turns" + ENTER)
        terminal.wait_for("1. Tell me all.", ASK)
        terminal.press(CTRL_C)
        terminal.wait_for("/quit, ends", ASK)
        terminal.press("/quit" + ENTER)
        assert terminal.ended() == 0


def test_a_terminal_that_is_closed_ends_the_conversation(server: LocalServer) -> None:
    with PseudoTerminal(["chat", "--url", server.url]) as terminal:
        terminal.wait_for(ASK)
        terminal.process.terminate()
        assert terminal.ended() == 143
