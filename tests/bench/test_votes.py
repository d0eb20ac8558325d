"""`dsm bench votes`: the simulated engine, both orders of counting, and the table."""

import json
from pathlib import Path
from random import Random

import pytest

from deepseek_math.bench import votes
from deepseek_math.bench.votes import Run, as_finished, by_seed, decide, simulate

RUN = Run(begins=[0, 0, 4], ends=[9, 4, 6])  # two slots: the third sample begins when the second has finished


def test_tokens_and_samples_are_counted_up_to_a_step() -> None:
    assert [RUN.tokens(step) for step in (0, 4, 6, 100)] == [0, 8, 12, 15]
    assert [RUN.finished(step) for step in (3, 4, 6, 9)] == [0, 1, 2, 3]


def test_a_sample_waits_for_those_before_it_by_seed_alone() -> None:
    assert as_finished(RUN) == [(1, 4), (2, 6), (0, 9)]
    assert by_seed(RUN) == [(0, 9), (1, 9), (2, 9)]


async def test_a_decision_has_what_was_drawn_up_to_it() -> None:
    """The two short samples agree: as they finish they decide at step 6, by seed the long first one is waited for."""
    answers = ["5", "4", "4"]
    former = await decide(answers, 1.0, as_finished(RUN), RUN)
    now = await decide(answers, 1.0, by_seed(RUN), RUN)
    assert (former.counted, former.finished, former.tokens, former.step, former.answer) == (2, 2, 12, 6, "4")
    assert (now.counted, now.finished, now.tokens, now.step, now.answer) == (3, 3, 15, 9, "4")


def test_no_more_samples_than_slots_are_at_work() -> None:
    run = simulate(40, 4, Random(1))
    for step in range(0, max(run.ends), 7):
        at_work = [begin <= step < end for begin, end in zip(run.begins, run.ends, strict=True)]
        assert sum(at_work) <= 4
    assert sorted(run.begins) == list(run.begins)  # in the order of their seeds


def test_the_command_prints_a_row_for_each_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"What is 2 + 2?": ["4", "4.0", None, "5"] * 16}))
    assert votes.main(["--answers", str(answers), "--runs", "3"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + len(votes.SETTINGS)
    assert all(row["time_ratio"] >= 1 for row in json.loads(last))
    assert votes.main(["--answers", str(tmp_path / "none.json")]) == 1
    assert "none.json has no recorded answers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        votes.main(["--runs", "0"])
    assert "--runs 0: use 1 or more" in capsys.readouterr().err
