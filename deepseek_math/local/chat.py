"""`dsm chat`: a conversation in the terminal, or one question a line from a pipe."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.checkpoints import find
from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME
from deepseek_math.local import client
from deepseek_math.local.command import HELP_INPUTS, HELP_URL, MODEL, reaching, run, words_option
from deepseek_math.local.conversation import OWN, Conversation
from deepseek_math.local.server import LocalServer, ServerFailed
from deepseek_math.local.typed_inputs import InputsMistyped, settings_of
from deepseek_math.local.typed_line import reader
from deepseek_math.request import Request
from deepseek_math.settings import Settings
from deepseek_math.signals import is_ending
from deepseek_math.terminal import printable, say

HINT = "/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends."


class Mistake(InputsMistyped):
    """What was typed means nothing here; the text says why, and what would."""


# What is said in a sentence, and the conversation goes on.
REFUSALS = (InputsMistyped, ServerFailed, ServiceError, client.PredictionRefused, httpx.HTTPError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm chat",
        description=f"A conversation. {MODEL} From a pipe each line is the next question, and the status is 1 if "
        "one of them failed.",
    )
    parser.add_argument("settings", nargs="*", metavar="name=value", help="inputs, such as mode=chat")
    parser.add_argument("--inputs", type=words_option, default=[], metavar="TEXT", help=HELP_INPUTS)
    parser.add_argument("--url", help=HELP_URL)
    options = parser.parse_args(arguments)
    return run(lambda: _chat(options.inputs + options.settings, options.url))


def _chat(settings: list[str], url: str | None) -> int:
    conversation = Conversation().having(_settings(settings, os.environ))
    if url:
        return _hold(Chat(url.rstrip("/"), conversation))
    conversation = _for_base(conversation)
    with LocalServer(say=say) as server:
        say("")
        return _hold(Chat(server.url, conversation))


def _for_base(conversation: Conversation) -> Conversation:
    """A base checkpoint takes no turns, and only continues what is no few-shot prompt."""
    checkpoint = find(Settings.read(weights=os.environ.get("COG_WEIGHTS")).checkpoint)
    if not checkpoint.style.base or "mode" in conversation.settings:
        return conversation
    say(f"{checkpoint.name} is a base checkpoint: mode fewshot is used, in which each question stands alone.")
    return conversation.having({"mode": "fewshot"})


def _settings(texts: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Inputs for the whole conversation. Raises InputsMistyped."""
    for text in texts:
        name = text.partition("=")[0]
        if name in OWN:
            raise Mistake(f"The conversation itself sets {name}.")
    return settings_of(texts, environment)


def _hold(chat: "Chat") -> int:
    """The conversation up to its end; the exit status, which is about the lines of a pipe alone."""
    in_terminal = sys.stdin.isatty()
    failed = False
    for line in _typed() if in_terminal else sys.stdin:
        if line.strip():
            failed = not chat.take(line.strip()) or failed
        if chat.ended:
            break
    return 1 if failed and not in_terminal else 0


def _typed() -> Iterator[str]:
    """What is typed, up to Ctrl-D."""
    say(HINT)
    read = reader([f"/{name}" for name in COMMANDS])
    while True:
        try:
            line = read()
        except EOFError:
            return
        except KeyboardInterrupt:
            if is_ending():
                raise
            say("Ctrl-D, or /quit, ends the conversation.")
            continue
        yield line


class Chat:
    """A conversation with the service at `url`, and the commands that change it."""

    def __init__(self, url: str, conversation: Conversation) -> None:
        self.url = url
        self.conversation = conversation
        self.ended = False
        self._asked: str | None = None  # the last question, answered or not
        self._sent: dict[str, Any] = {}  # the inputs of it

    def take(self, line: str) -> bool:
        """Takes a question, or a command, which begins with a slash; whether that went well."""
        try:
            if line.startswith("/"):
                return self._command(line[1:])
            return self._ask(line, self.conversation)
        except REFUSALS as error:
            say(printable(str(error)))
            return False

    def _command(self, text: str) -> bool:
        name, _, argument = text.partition(" ")
        if name not in COMMANDS:
            raise Mistake(f"There is no /{name}. /help lists the commands; a question can't begin with a slash.")
        return COMMANDS[name].carry_out(self, argument.strip()) is not False

    def _ask(self, question: str, before: Conversation) -> bool:
        """Asks after the turns of `before`. What was answered, or stopped amid the answer, becomes the next turn."""
        inputs = before.inputs(question)
        self._asked, self._sent = question, inputs
        pieces: list[str] = []
        stopped, final = False, {}
        with reaching(self.url), closing(client.stream(self.url, inputs)) as events:
            try:
                final = client.follow(_keeping(events, pieces))
            except KeyboardInterrupt:
                if is_ending() or not sys.stdin.isatty():
                    raise
                stopped = True
        done = final.get("status") == "succeeded"
        if stopped:
            say("stopped")
        elif done:
            say(_summary(final["metrics"]))
        else:
            say(client.fault(final))
            self._advise(question, before, inputs, final.get("metrics", {}))
        answer = "".join(pieces)
        if (done or stopped) and answer.strip():  # no model could read a turn without a letter
            self.conversation = before.answered(question, answer)
        return done

    def _advise(self, question: str, before: Conversation, inputs: dict[str, Any], metrics: dict[str, Any]) -> None:
        """What can be done about a refusal that has to do with the turns. Nothing is dropped here."""
        code = metrics.get("error_code")
        if code == "raw_takes_prompt_only":
            say("/mode fewshot puts each question by itself, after examples. /new begins anew.")
        if code == "context_exceeded" and before.turns and not before.stands_alone and "context" in metrics:
            limit = inputs.get("max_new_tokens", BY_NAME["max_new_tokens"].default)
            excess = metrics["prompt_tokens"] + limit - metrics["context"]
            count = before.too_many(question, metrics["prompt_tokens"], excess)
            say(f"The conversation fills the context. To go on, {_turns(count)} would have to go:")
            for number, turn in enumerate(before.turns[:count], 1):
                say(f"  {number}. {printable(turn.title)}")
            say(f"/drop {count} does that, then /retry. Or allow shorter answers: /set max_new_tokens={limit // 2}")

    # Commands

    def help(self, _: str) -> None:
        width = max(len(f"{name} {command.argument}") for name, command in COMMANDS.items())
        for name, command in COMMANDS.items():
            say(f"  /{f'{name} {command.argument}':{width}}  {command.summary}")
        say("Anything else is a question. Alt-Enter begins another line; what is pasted is one question.")

    def set(self, text: str) -> None:
        """One input, or without a text all that are set."""
        if text:
            self.conversation = self.conversation.having(_settings([text], {}))
        for name, value in sorted(self.conversation.settings.items()):
            say(f"  {name}={printable(json.dumps(value, ensure_ascii=False))}")
        if not self.conversation.settings:
            say("  all inputs have their defaults")

    def set_named(self, name: str, text: str) -> None:
        value = settings_of([f"{name}={text}"], {})[name] if text else None
        self.conversation = self.conversation.having({name: value})
        say(f"  {name}={text}" if text else f"  {name} has its default")
        if name == "mode" and self.conversation.stands_alone and self.conversation.turns:
            say(f"  each question stands alone in this mode; the {_turns(len(self.conversation.turns))} are kept")

    def retry(self, _: str) -> bool:
        if self._asked is None:
            raise Mistake("Nothing was asked yet.")
        before = self.conversation
        if before.turns and before.turns[-1].question == self._asked:
            before = before.without_last()
        inputs = before.inputs(self._asked)
        if inputs == self._sent and Request.checked(**inputs).sampling.greedy:
            say("Decoding is greedy, so the text will be the same. /set temperature=0.7 draws others.")
        return self._ask(self._asked, before)

    def list_turns(self, _: str) -> None:
        for number, turn in enumerate(self.conversation.turns, 1):
            say(f"  {number}. {printable(turn.title)} ({turn.characters} characters with its answer)")
        if not self.conversation.turns:
            say("  none yet")

    def drop(self, text: str) -> None:
        count = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= count <= len(self.conversation.turns):
            raise Mistake(f"/drop N drops the N oldest of the {_turns(len(self.conversation.turns))}.")
        self.conversation = self.conversation.without_oldest(count)
        say(f"  {_turns(count)} dropped, {_turns(len(self.conversation.turns))} left")

    def new(self, _: str) -> None:
        self.conversation = self.conversation.without_oldest(len(self.conversation.turns))
        say("  a new conversation, with the same inputs")

    def save(self, text: str) -> None:
        if not text:
            raise Mistake("/save FILE writes the conversation to a new file.")
        self.conversation.save(Path(text).expanduser())
        say(f"  {_turns(len(self.conversation.turns))} saved in {text}")

    def quit(self, _: str) -> None:
        self.ended = True


@dataclass(frozen=True, slots=True)
class Command:
    """`carry_out` gets the chat and what is typed behind the name; False where it did not go well."""

    argument: str
    summary: str
    carry_out: Callable[[Chat, str], bool | None]


def _setter(name: str) -> Callable[[Chat, str], None]:
    return lambda chat, text: chat.set_named(name, text)


COMMANDS: Mapping[str, Command] = {
    "help": Command("", "this list", Chat.help),
    "mode": Command("MODE", f"how questions are put: {', '.join(BY_NAME['mode'].choices)}", _setter("mode")),
    "samples": Command("N", "draw N answers, which vote", _setter("samples")),
    "seed": Command("N", "draw the same again; without N another each time", _setter("seed")),
    "set": Command("NAME=VALUE", "any other input; alone shows what is set", Chat.set),
    "retry": Command("", "ask the last question again, in place of its answer", Chat.retry),
    "turns": Command("", "what the model is reminded of", Chat.list_turns),
    "drop": Command("N", "forget the N oldest turns", Chat.drop),
    "new": Command("", "forget all turns", Chat.new),
    "save": Command("FILE", "write turns and inputs to a new file, as JSON", Chat.save),
    "quit": Command("", "end, as Ctrl-D does", Chat.quit),
}


def _keeping(events: Iterator[client.Event], pieces: list[str]) -> Iterator[client.Event]:
    """The same events; the text that comes with them is added to `pieces`."""
    for event in events:
        if event.kind == "output":
            pieces.append(event.data["chunk"])
        yield event


def _summary(metrics: dict[str, Any]) -> str:
    """An answer in a line or two: what it is, how a vote went, what it took, and whether to doubt it."""
    parts = [printable(f"answer {metrics['answer']}") if "answer" in metrics else "no answer"]
    if "agreement" in metrics:
        parts.append(f"{metrics['agreement']:.0%} of {metrics['samples_used']} samples")
    parts.append(f"{metrics['completion_tokens']} tokens")
    if "predict_time" in metrics:
        parts.append(f"{metrics['predict_time']:.1f} s")
    line = f"  [{', '.join(parts)}]"
    doubts = client.in_words(metrics.get("doubts", []))
    return f"{line}\n  [doubtful: {doubts}]" if doubts else line


def _turns(count: int) -> str:
    return "1 turn" if count == 1 else f"{count} turns"
