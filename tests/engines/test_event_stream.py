"""Events come out of a body whole and in order, wherever its pieces break."""

import random

import pytest

from deepseek_math.engines.remote.event_stream import EventStream

pytestmark = pytest.mark.unit

BODY = (
    b': a comment\n\ndata: {"a": 1}\n\nevent: x\ndata: two\ndata:  lines\nid: 7\n\n\n\ndata:tight\r\n\r\n'
    b"data: \n\nretry: 5\n\ndata: \xe6\xb1\x82 \xf0\x9f\x99\x82\r\rdata: [DONE]\n\ndata: cut"
)
FOUND = [b'{"a": 1}', b"two\n lines", b"tight", "求 🙂".encode(), b"[DONE]"]


def test_the_data_of_every_whole_event_is_found() -> None:
    assert EventStream().feed(BODY) == FOUND


@pytest.mark.parametrize("seed", range(40))
def test_nothing_depends_on_where_the_pieces_break(seed: int) -> None:
    moments, events, found, rest = random.Random(seed), EventStream(), [], BODY
    while rest:
        size = moments.randrange(1, 9)
        found += events.feed(rest[:size])
        rest = rest[size:]
    assert found == FOUND
