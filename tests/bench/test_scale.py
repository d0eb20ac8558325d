"""The page about scale: its tables are made from its constants, and what fits by it fits by the service's own sums."""

from math import ceil
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig

from deepseek_math.bench import scale
from deepseek_math.bench.gpu import SHAPE
from deepseek_math.bench.scale import CARDS, PAGE, Card, filled, rate, room, seconds
from deepseek_math.engines.hf import paged_cache
from deepseek_math.engines.hf.paged_cache import plan_cache


def test_the_page_s_tables_are_current() -> None:
    assert filled(PAGE.read_text(encoding="utf-8")) == PAGE.read_text(encoding="utf-8")
    assert all(card.name in PAGE.read_text(encoding="utf-8") for card in CARDS)


def test_the_share_of_the_bandwidth_is_the_one_that_gpt_fast_measured_on_an_a100() -> None:
    """104.9 tokens a second for Llama-2-7B in bf16, by its README."""
    card = next(card for card in CARDS if card.name.startswith("A100"))
    assert abs(scale.COMPLETION / seconds(card, 1) / 104.9 - 1) < 0.05


def test_a_token_takes_480_kib_of_kv_cache() -> None:
    assert scale.KV_TOKEN == 480 * 1024


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_as_many_requests_fit_a_card_as_the_engine_would_let_in(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16, config=LlamaConfig(**SHAPE))
    left = paged_cache.GPU_SHARE * (card.memory - scale.WEIGHTS - scale.CUDA)
    monkeypatch.setattr(paged_cache, "usable_memory", lambda gpu: int(left))
    gate = plan_cache(model, 4096, None).gate
    assert room(card) == min(gate.slots, gate.tokens // (gate.page * ceil(scale.ASKED / gate.page)))


def test_more_streams_serve_more_requests_and_each_of_them_slower() -> None:
    for card in CARDS:
        counts = range(1, room(card) + 1)
        assert all(rate(card, more + 1) > rate(card, more) for more in counts)
        assert all(seconds(card, more + 1) > seconds(card, more) for more in counts)
