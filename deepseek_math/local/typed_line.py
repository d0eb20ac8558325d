"""The line that a person types: history with the arrow keys, several lines at once, Ctrl-D at the end."""

from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

ASK = ">>> "
MORE = "... "


def reader(commands: list[str]) -> Callable[[], str]:
    """Reads one question or command a call; Tab completes `commands`. What is pasted is one question, with its lines.

    A call raises EOFError for Ctrl-D, and KeyboardInterrupt for Ctrl-C.
    """
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        key_bindings=keys,
        completer=WordCompleter(commands, sentence=True),
        complete_while_typing=False,
        prompt_continuation=MORE,
    )
    return lambda: session.prompt(ASK)
