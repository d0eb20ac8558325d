"""A request is put where it finds most of its prompt, and nowhere where it would destroy more."""

import pytest

from deepseek_math.engines.llama_cpp.slots import Slots

pytestmark = pytest.mark.unit

SONG = tuple(range(100))


def held(slots: Slots, *prompts: tuple[int, ...]) -> None:
    taken = [slots.take(())[0] for _ in prompts]
    for slot, prompt in zip(taken, prompts, strict=True):
        slots.give_back(slot, prompt)


def test_the_longest_common_beginning_wins() -> None:
    slots = Slots(3)
    held(slots, SONG[:10], SONG[:50], (*SONG[:30], 7, 7))
    assert slots.take(SONG)[1] == SONG[:50]
    assert slots.take(SONG)[1] == (*SONG[:30], 7, 7)
    assert slots.take(SONG)[1] == SONG[:10]


def test_a_long_conversation_is_not_destroyed_for_a_short_common_beginning() -> None:
    slots = Slots(2)
    held(slots, (1, 2, 3), SONG)
    assert slots.take((*SONG[:49], 7))[1] == (1, 2, 3)
    slots = Slots(2)
    held(slots, (1, 2, 3), SONG)
    assert slots.take((*SONG[:50], 7))[1] == SONG


def test_else_the_slot_that_was_idle_longest_is_taken() -> None:
    slots = Slots(3)
    held(slots, (1,), (2,), (3,))
    assert [slots.take((9,))[1] for _ in range(3)] == [(1,), (2,), (3,)]


def test_a_slot_is_nobody_elses_while_it_is_taken() -> None:
    slots = Slots(2)
    first, second = slots.take(SONG)[0], slots.take(SONG)[0]
    assert {first, second} == {0, 1}
    with pytest.raises(LookupError):
        slots.take(SONG)
    slots.give_back(first, SONG)
    assert slots.take(SONG) == (first, SONG)


def test_of_slots_that_hold_one_prompt_each_completion_finds_its_own() -> None:
    slots = Slots(3)
    for said in ((7, 8, 9), (7, 5, 5), (6, 6, 6)):
        slots.give_back(slots.take(())[0], (1, 2, 3), said)
    assert slots.take((1, 2, 3, 7, 5, 5, 4)) == (1, (1, 2, 3))
    assert slots.take((1, 2, 3, 6, 6, 6)) == (2, (1, 2, 3))
