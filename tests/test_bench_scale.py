"""The page about scale: its tables are made from its constants, and its model of a GPU agrees with a measured one."""

from replicate.bench import scale
from replicate.bench.scale import CARDS, PAGE, filled, rate, room, seconds


def test_the_page_s_tables_are_current() -> None:
    assert filled(PAGE.read_text(encoding="utf-8")) == PAGE.read_text(encoding="utf-8")
    assert all(card.name in PAGE.read_text(encoding="utf-8") for card in CARDS)


def test_one_stream_on_an_a100_is_as_fast_as_gpt_fast_measured() -> None:
    """104.9 tokens a second for Llama-2-7B in bf16, by its README."""
    card = next(card for card in CARDS if card.name.startswith("A100"))
    assert abs(scale.COMPLETION / seconds(card, 1) / 104.9 - 1) < 0.05


def test_a_token_takes_480_kib_of_kv_cache_and_all_that_fit_fit() -> None:
    assert scale.KV_TOKEN == 480 * 1024
    for card in CARDS:
        kept = room(card) * scale.KV_TOKEN * (scale.PROMPT + scale.RESERVED)
        assert scale.WEIGHTS + kept <= card.memory


def test_more_streams_serve_more_requests_and_each_of_them_slower() -> None:
    for card in CARDS:
        counts = range(1, room(card) + 1)
        assert all(rate(card, more + 1) > rate(card, more) for more in counts)
        assert all(seconds(card, more + 1) > seconds(card, more) for more in counts)
