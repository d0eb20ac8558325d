"""Programs of the kinds that math models write: what the published executor made of them, and what the sandbox does."""

import json
from typing import Any

import pytest

from deepseek_math.paths import ROOT
from deepseek_math.programs.sandbox.pool import Sandboxes

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAMS: list[dict[str, Any]] = json.loads((ROOT / "tests/data/published_programs.json").read_text())["programs"]


async def test_the_programs_are_many_and_few_of_them_differ() -> None:
    assert len(PROGRAMS) >= 60
    assert sum("differs" in each for each in PROGRAMS) <= 8


@pytest.mark.parametrize("published", PROGRAMS, ids=lambda published: published["name"])
async def test_a_program_gives_what_it_gave_in_the_published_environment(
    sandboxes: Sandboxes, published: dict[str, Any]
) -> None:
    """One that is listed as different still is, or its entry has to go."""
    async with sandboxes.open(seed=0) as sandbox:
        outcome = await sandbox.run(published["program"])
    printed = "" if outcome.error is not None else outcome.printed.strip()
    same = (printed, (outcome.error or "").strip()) == (published["printed"], published["error"])
    assert same == ("differs" not in published), outcome
