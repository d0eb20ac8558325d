"""What every client of the door must get from it. A client's script wraps its own calls in a Client and proves it.

DEMO and CHINESE are the addresses of two doors: one before the demo, and one before a service with one place, whose
model says SAID over and over, so that its texts only end where they are told to.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

SUM = "What is 12 + 30?"
STORY = "Tell me a story of numbers."  # the demo knows no story: each seed's nonsense is another
CHINESE_SUM = "十二加三十等于几？"
SAID = "答案是四十二"
OVERLONG = "one and " * 6_000


@dataclass(frozen=True, slots=True)
class Answer:
    texts: list[str]
    usage: tuple[int, int]  # tokens of the prompt and of the texts


class Client(Protocol):
    """One client, connected to one door. Fields have OpenAI's names."""

    refusal: type[Exception]  # what the client raises for a 400
    takes_n: bool
    streamed_usage: tuple[int, int] | None  # of the last stream; None where the client passes none on

    def whole(self, question: str, **fields: Any) -> Answer: ...

    def pieces(self, question: str, **fields: Any) -> Iterator[str]: ...


def prove(connect: Callable[[str], Client]) -> None:
    demo, chinese = connect(os.environ["DEMO"]), connect(os.environ["CHINESE"])
    for check in (streamed_equals_whole, equal_seeds_give_equal_texts, too_long_is_its_own_error):
        check(demo)
        print(check.__name__, flush=True)
    if demo.takes_n:
        two_choices_differ(demo)
        print(two_choices_differ.__name__, flush=True)
    for check in (chinese_is_whole, leaving_frees_the_engine):
        check(chinese)
        print(check.__name__, flush=True)


def streamed_equals_whole(client: Client) -> None:
    whole = client.whole(SUM, temperature=0)
    assert "42" in whole.texts[0], whole
    assert whole.usage[0] > 5, whole
    assert whole.usage[1] > 5, whole
    pieces = list(client.pieces(SUM, temperature=0))
    assert "".join(pieces) == whole.texts[0], pieces
    assert client.streamed_usage in (whole.usage, None), client.streamed_usage


def equal_seeds_give_equal_texts(client: Client) -> None:
    one, again, another = (
        client.whole(STORY, temperature=1.5, max_tokens=40, seed=seed).texts[0] for seed in (7, 7, 8)
    )
    assert one == again != another, (one, again, another)


def too_long_is_its_own_error(client: Client) -> None:
    for ask in (client.whole, lambda question: list(client.pieces(question))):
        refusal = ""
        try:
            ask(OVERLONG)
        except client.refusal as error:
            refusal = str(error)
        assert "tokens" in refusal, f"a prompt that is too long got {refusal!r}"


def two_choices_differ(client: Client) -> None:
    answer = client.whole(STORY, temperature=1.5, max_tokens=40, seed=7, n=2)
    alone = client.whole(STORY, temperature=1.5, max_tokens=40, seed=7)
    first, second = answer.texts
    assert first == alone.texts[0] != second, answer
    assert answer.usage[1] > alone.usage[1], answer


def chinese_is_whole(client: Client) -> None:
    whole = client.whole(CHINESE_SUM, temperature=0, max_tokens=100).texts[0]
    assert whole.count(SAID) > 3, whole
    assert "".join(client.pieces(CHINESE_SUM, temperature=0, max_tokens=100)) == whole


def leaving_frees_the_engine(client: Client) -> None:
    """The service has one place: the next request is only answered once the one before is over."""
    with closing(client.pieces(CHINESE_SUM, temperature=0, max_tokens=4000)) as pieces:  # type: ignore[type-var]
        assert len([next(pieces) for _ in range(3)]) == 3
    assert client.whole(CHINESE_SUM, max_tokens=8).texts[0]
