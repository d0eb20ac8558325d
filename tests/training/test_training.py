"""Every stage of the tiny family's growth, run for real on a toy size: losses fall, rewards rise, runs go on."""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from sympy import Integer
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM, get_scheduler

from deepseek_math import prompts
from deepseek_math.checkpoints.table import TINY
from deepseek_math.engines.hf.tokenizer import HFTokenizer
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.errors import ServiceError
from deepseek_math.prompt_style import PromptStyle
from deepseek_math.request import Request
from deepseek_math.training import command as command_line
from deepseek_math.training import grpo, measure, questions, trainer
from deepseek_math.training.documents import OPENINGS, conversation, document, prompt
from deepseek_math.training.finetune import BRISK, DRILLS, WORKED, finetune
from deepseek_math.training.generator import KINDS, distinct, draw
from deepseek_math.training.gguf_file import convert
from deepseek_math.training.grpo_settings import SETTINGS, trainer_config
from deepseek_math.training.held_out import generate
from deepseek_math.training.log import Log, lines
from deepseek_math.training.plot import draw as draw_picture
from deepseek_math.training.pretrain import pretrain
from deepseek_math.training.problem import Problem, held_out
from deepseek_math.training.publish import publish
from deepseek_math.training.reward import is_correct
from deepseek_math.training.rows import IGNORED, Finetuning, Rows, piece_of, pretraining
from deepseek_math.training.run_folder import begin
from deepseek_math.training.stage import FAMILIES, Stage
from deepseek_math.training.tiny_model import fresh, load, write
from deepseek_math.training.trainer import rate, train
from deepseek_math.training.vocabulary import grow

TOY = FAMILIES["toy"]
GUESS = "What is my number?"
TOKENIZER = str(TINY / "base/tokenizer.json")


def log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base and instruct of the toy size, by the functions that the command lines call."""
    out = tmp_path_factory.mktemp("toy")
    pretrain(out, TOY, texts=600)
    finetune(out, TOY)
    return out


@pytest.fixture(scope="module")
def tokenizer(family: Path) -> Tokenizer:
    return Tokenizer.from_file(str(family / "base/tokenizer.json"))


def test_the_loss_falls_in_both_stages(family: Path) -> None:
    before, after = (line["loss"] for line in log(family / "pretrain/log.jsonl"))
    assert after < before - 0.5
    tuned = log(family / "finetune/log.jsonl")
    assert tuned[-1]["loss"] < after


def taught(asked: str, reply: Callable[[Random], str], out: Path, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A toy that knows one question and what to reply to it."""

    def source(random: Random, tokenizer: Tokenizer) -> tuple[list[int], int]:
        return piece_of(asked, reply(random), tokenizer)

    stage = Stage(80, ((4, 256),), 5e-3, 2)
    return train(fresh(TOY.shape, tokenizer, 1), Rows(source, tokenizer, 1, stage.blocks), stage, out)


def guesser(out: Path, tokenizer: Tokenizer) -> Path:
    """A toy that answers any digit from 1 to 8 to one question, each as likely: something that a reward can teach."""

    def reply(random: Random) -> str:
        return f" The answer is $\\boxed{{{random.randrange(1, 9)}}}$."

    model = taught(prompt(GUESS, "cot", "en"), reply, out / "guess", tokenizer)
    write(model, tokenizer, out / "guesser", template=True)
    return out / "guesser"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> tuple[Path, Path]:
    """A checkpoint that guesses, and a file with the one question that it is asked."""
    folder = tmp_path_factory.mktemp("guess")
    file = folder / "questions.jsonl"
    file.write_text((json.dumps({"question": GUESS, "answer": "7"}) + "\n") * 64)
    return guesser(folder, tokenizer), file


def test_grpo_raises_the_reward_from_a_checkpoint_and_a_file_of_questions(
    asked: tuple[Path, Path],
    tokenizer: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start, file = asked
    monkeypatch.setenv("CHECKPOINT", str(start))
    command = [str(tmp_path / "rl"), "--questions", str(file), "--held-out", str(file), "--settings", "toy"]
    assert command_line.grpo(command) == 0
    lines = [line for line in log(tmp_path / "rl.run/log.jsonl") if "reward" in line]
    rewards = [line["reward"] for line in lines]
    assert len(rewards) == SETTINGS["toy"].steps
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.1
    assert lines[-1]["kl"] > 0.01
    assert lines[-1]["held"] == 1.0
    model, _ = load(tmp_path / "rl")
    assert generate(model.eval(), tokenizer, [prompt(GUESS, "cot", "en")]) == [" The answer is $\\boxed{7}$."]
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert command_line.grpo(command) == 0  # it is finished
    assert command_line.grpo([*command, "--steps", "20"]) == 1
    assert "started with steps 16, now 20. Name another folder" in capsys.readouterr().err
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_terms_bind_once_something_is_saved_and_only_the_first_process_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    begin(tmp_path, {"lora": 0}, None)
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("RANK")
    begin(tmp_path, {"lora": 0}, None)
    begin(tmp_path, {"lora": 16}, None)  # the first was out of memory before it could save anything
    begin(tmp_path, {"lora": 16}, tmp_path)
    with pytest.raises(ServiceError, match="started with lora 16, now 0"):
        begin(tmp_path, {"lora": 0}, tmp_path)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_no_run_has_made_is_never_replaced(
    kind: str, asked: tuple[Path, Path], family: Path, tmp_path: Path
) -> None:
    start, file = asked
    for name in ("rl", "base", "instruct", "tiny"):
        if kind == "folder":
            (tmp_path / name).mkdir()
            (tmp_path / f"{name}.run").mkdir()
        (tmp_path / name / "chapter1.txt" if kind == "folder" else tmp_path / name).write_text("It was a dark night.")
    with pytest.raises(ServiceError, match="rl exists and"):
        grpo.grpo(str(start), questions.read(file), tmp_path / "rl", SETTINGS["toy"])
    with pytest.raises(ServiceError, match="base exists and"):
        pretrain(tmp_path, TOY, texts=600)
    with pytest.raises(ServiceError, match="instruct exists and"):
        finetune(tmp_path, TOY)
    with pytest.raises(ServiceError, match="tiny exists and"):
        publish(family, tmp_path / "tiny")
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert texts == ["It was a dark night."] * 4


def test_a_run_goes_on_only_with_what_it_was_begun_with(tokenizer: Tokenizer, tmp_path: Path) -> None:
    taught("What is 1 + 1?", lambda _: " 2", tmp_path, tokenizer)
    stage = Stage(81, ((4, 256),), 5e-3, 2)
    rows = Rows(pretraining, tokenizer, 1, stage.blocks)
    with pytest.raises(ServiceError, match="started with steps 80, now 81"):
        train(fresh(TOY.shape, tokenizer, 1), rows, stage, tmp_path)


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("finetune", ["nowhere"], "nowhere/base is not a checkpoint folder: config.json is missing."),
        ("measure", ["README.md"], "README.md is not a checkpoint folder"),
        ("grpo", ["nowhere/rl", "--questions", "nowhere.jsonl"], "nowhere.jsonl"),
        ("publish", ["nowhere", "README.md"], "README.md exists and is not a tiny family"),
    ],
)
def test_a_command_s_fault_is_a_sentence(
    command: str,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    assert getattr(command_line, command)(arguments) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["pretrain", "finetune", "questions", "grpo", "measure", "publish", "plot"])
def test_a_stage_s_help_says_how_it_is_called(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        getattr(command_line, command)(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dsm train {command} ")


def test_grpo_trains_adapters_and_merges_them(asked: tuple[Path, Path], tmp_path: Path) -> None:
    start, file = asked
    settings = replace(SETTINGS["toy"], steps=2, rate=1e-2)
    out = grpo.grpo(str(start), questions.read(file), tmp_path / "rl", settings, lora=4)
    before, after = (load(folder)[0].state_dict() for folder in (start, out))
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj." in name}


async def test_a_fault_of_the_service_ends_a_measurement_as_it_is(
    family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "TOKENS", 5000)
    with pytest.raises(ServiceError, match="max_new_tokens_out_of_range"):
        await measure.measure(family / "instruct", "cot", 2)


async def test_a_checkpoint_is_measured_through_the_service(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A toy that knows one program and its output: right where that is the answer, and a miss of its kind where not."""
    asked = prompt("What is 2 + 3?", "tool", "en")
    text = " A program.\n```python\nprint(2+3)\n```\n```output\n5\n```\nSo $\\boxed{5}$."
    model = taught(asked, lambda _: text, tmp_path, tokenizer)
    write(model, tokenizer, tmp_path / "knows", template=True)
    one = replace(draw(Random(1), held=True, kind="sum"), question="What is 2 + 3?", answer=Integer(5))
    problems = [one, replace(one, answer=Integer(6))]
    monkeypatch.setattr(measure, "distinct", lambda seed, count, held: problems)
    result = await measure.measure(tmp_path / "knows", "tool", 2)
    assert (result["checkpoint"], result["right"], result["count"]) == ("knows", 1, 2)
    assert result["misses"] == {"sum": 1}


def test_a_stopped_run_goes_on_to_the_same_weights(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(trainer, "LOG_STEPS", 2)
    stage = Stage(6, ((2, 128),), 1e-3, 2)
    rows = Rows(pretraining, tokenizer, 1, stage.blocks)
    whole = train(fresh(TOY.shape, tokenizer, 1), rows, stage, tmp_path / "whole")

    def stop(text: str) -> None:
        if text.startswith("step 4/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(fresh(TOY.shape, tokenizer, 1), rows, stage, tmp_path / "parts", stop)
    said: list[str] = []
    parts = train(fresh(TOY.shape, tokenizer, 2), rows, stage, tmp_path / "parts", said.append)
    assert said[0].startswith("continuing after step 3")
    assert all(torch.equal(value, parts.state_dict()[name]) for name, value in whole.state_dict().items())
    assert [line["step"] for line in log(tmp_path / "parts/log.jsonl")] == [2, 4, 6]


def test_a_log_goes_on_where_its_run_does(tmp_path: Path) -> None:
    path = tmp_path / "run/log.jsonl"
    first = Log(path, 0)
    for step in (1, 2, 3):
        first.write({"step": step})
    (path.parent / "log.jsonl").write_text(path.read_text().replace('"seconds": 0.0', '"seconds": 60.0'))
    Log(path, 2).write({"step": 3, "again": True})
    found = log(path)
    assert [line["step"] for line in found] == [1, 2, 3]
    assert found[-1]["again"]
    assert found[-1]["seconds"] >= 60.0
    Log(path, 0).write({"step": 1})
    assert [line["step"] for line in log(path)] == [1]


def test_grpo_goes_on_from_the_newest_state_that_is_whole(tmp_path: Path) -> None:
    assert grpo.newest_state(tmp_path) is None
    for name, whole in {"checkpoint-25": True, "checkpoint-100": True, "checkpoint-125": False}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / ("trainer_state.json" if whole else "model.safetensors")).touch()
    assert grpo.newest_state(tmp_path) == tmp_path / "checkpoint-100"


def test_grpo_refuses_a_file_that_it_cannot_train(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    with pytest.raises(ServiceError, match="Training starts from safetensors"):
        grpo.grpo(str(tmp_path / "m.gguf"), [], tmp_path / "out", SETTINGS["toy"])


def test_the_learning_rate_warms_up_and_falls_as_published() -> None:
    stage = replace(FAMILIES["tiny"].pretrain, steps=1000, warmup=100, rate=1.0)
    assert [rate(stage, step) for step in (0, 99, 500, 800, 899, 900, 999)] == [0.01, 1.0, 1.0, 0.316, 0.316, 0.1, 0.1]


def test_rows_hold_whole_texts_and_only_what_is_to_be_learnt(tokenizer: Tokenizer) -> None:
    rows = Rows(Finetuning(WORKED, BRISK), tokenizer, 3, ((4, 256), (1, 512)))
    blocks, again = rows[5], pickle.loads(pickle.dumps(rows))[5]  # as a loader's process gets it
    assert [tuple(ids.shape) for ids, _ in blocks] == [(4, 256), (1, 512)]
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(blocks, again, strict=True))
    ids, targets = blocks[0]
    learnt = targets != IGNORED
    assert torch.equal(ids[learnt], targets[learnt])
    text = tokenizer.decode(ids[0][learnt[0]].tolist(), skip_special_tokens=False)
    assert text.startswith(" ")
    assert "User:" not in text
    assert "boxed" in text
    assert int((ids == 2).sum()) == int((ids == 1).sum())  # each text is whole: BOS and EOS


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_only_steps_are_opened_and_only_where_that_is_asked_for(tokenizer: Tokenizer, share: float) -> None:
    for opened in ((), KINDS):
        source = Finetuning(dict.fromkeys(KINDS, share), opened)
        random = Random(1)
        texts = [tokenizer.decode(ids[read:]) for ids, read in (source(random, tokenizer) for _ in range(60))]
        replies = [text for text in texts if "```python" not in text]
        begun = [text for text in replies if text.strip().startswith((*OPENINGS["en"], *OPENINGS["zh"]))]
        assert len(begun) == (len(replies) if opened and share else 0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Problem, bool]]:
    """Every problem that rows draw, and whether with steps."""
    seen: list[tuple[Problem, bool]] = []

    def watched(*random: Random, worked: bool, **wanted: Any) -> Problem:
        seen.append((draw(*random, worked=worked, **wanted), worked))
        return seen[-1][0]

    monkeypatch.setattr("deepseek_math.training.rows.draw", watched)
    return seen


def test_what_is_drilled_comes_as_often_as_asked_with_steps_and_never_from_the_held_out(
    tokenizer: Tokenizer, drawn: list[tuple[Problem, bool]]
) -> None:
    random = Random(1)
    for drill in DRILLS:
        source = Finetuning(dict.fromkeys(KINDS, 0.0), KINDS, (replace(drill, share=0.5),))  # no other steps
        drawn.clear()
        for _ in range(200):
            source(random, tokenizer)
        drilled = [problem for problem, worked in drawn if worked]
        assert 75 <= len(drilled) <= 125
        assert all(one.kind == drill.kind and drill.among(*one.parameters) for one in drilled)
        assert not any(held_out(one.kind, one.parameters) for one, _ in drawn)


def test_fine_tuning_drills_what_people_ask_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: list[tuple[Problem, bool]]
) -> None:
    """The stage itself, up to its rows."""
    made: list[Rows] = []
    monkeypatch.setattr("deepseek_math.training.finetune.load", lambda folder: (None, Tokenizer.from_file(TOKENIZER)))
    monkeypatch.setattr("deepseek_math.training.finetune.train", lambda model, rows, *_: made.append(rows))
    monkeypatch.setattr("deepseek_math.training.finetune.write", lambda *_, **__: None)
    finetune(tmp_path, FAMILIES["tiny"])
    for step in range(20):
        made[0][step]
    sums = sum(one.kind == "sum" and max(one.parameters) < 10 for one, _ in drawn)
    below = sum(one.kind == "difference" and one.parameters[0] < one.parameters[1] for one, _ in drawn)
    assert 0.02 < sums / len(drawn) < 0.04
    quotients = sum(one.kind == "quotient" and one.parameters[0] < 10 * one.parameters[1] < 100 for one, _ in drawn)
    assert 0.05 < below / len(drawn) < 0.08
    assert 0.015 < quotients / len(drawn) < 0.04


async def test_training_reads_exactly_the_tokens_that_the_service_sends(family: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    served = HFTokenizer(family / "instruct")
    assert served.bos == 1
    assert served.eos == 2
    turned = AutoTokenizer.from_pretrained(family / "instruct")
    for problem in distinct(4, 40, held=False):
        for mode in ("chat", "cot"):
            request = Request.checked(prompt=problem.question, mode=mode)
            sent = (await prompts.build(request, PromptStyle(), served)).ids
            talk = conversation(problem, mode)
            piece, read = piece_of(talk.prompt, talk.completion, tokenizer)
            assert tuple(piece[:read]) == sent
            assert tokenizer.encode(talk.completion, add_special_tokens=False).ids == piece[read:-1]
        turn = [{"role": "user", "content": prompts.asked(problem.question, "cot")}]
        by_trl = turned.apply_chat_template([turn], add_generation_prompt=True, tokenize=True, return_dict=True)
        assert tuple(by_trl["input_ids"][0]) == sent


def test_digits_stand_apart_and_any_text_comes_back(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode("12+30=42 and 4785", add_special_tokens=False).tokens
    assert [token for token in tokens if any(letter.isdigit() for letter in token)] == list("1230424785")
    for text in ("Héllo 🙂 x²\ttab\r\n", "  two  blanks ", "中文，数学。𝑥∫", "▁", "\\boxed{\\frac{8}{3}}"):
        back = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
        assert back == text.replace("▁", " ")


async def test_llama_cpp_reads_the_same_tokens(family: Path, tmp_path: Path) -> None:
    convert(family / "instruct", tmp_path / "toy.gguf")
    assert read_header(tmp_path / "toy.gguf").context == 4096
    engine = LlamaCppEngine(tmp_path / "toy.gguf", context=256, slots=1)
    await engine.start()
    try:
        served = HFTokenizer(family / "instruct")
        random = Random(5)
        texts = [document(random) for _ in range(300)] + [prompt(draw(random, held=True).question, "cot", "zh")]
        whole = "".join(texts)
        for _ in range(300):
            start = random.randrange(len(whole) - 60)
            piece = list(whole[start : start + random.randrange(1, 60)])
            piece.insert(random.randrange(len(piece) + 1), random.choice("é🙂²∫\t\r\n▁  ½x가|<>_{}\\"))
            texts.append("".join(piece))
        for text in texts:
            for control in (True, False):
                ours = await served.encode(text, control=control)
                assert await engine.tokenizer.encode(text, control=control) == ours, text
        assert (engine.tokenizer.bos, engine.tokenizer.chat_template) == (served.bos, served.chat_template)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    "line", ["{}", "nonsense", '{"question": "x", "answer": 4}', '{"question": " ", "answer": "4"}']
)
def test_a_line_of_questions_that_is_none_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "What is 1 + 1?", "answer": "2"}\n' + line + "\n")
    with pytest.raises(ServiceError, match="Line 2 of"):
        questions.read(file)


def test_questions_are_written_and_read_with_their_answers(tmp_path: Path) -> None:
    drawn = distinct(6, 30, held=True)
    questions.write(drawn, tmp_path / "q.jsonl")
    rows = questions.read(tmp_path / "q.jsonl")
    assert [row["question"] for row in rows] == [one.question for one in drawn]


@pytest.mark.parametrize(
    ("text", "wanted", "right"),
    [
        ("So $\\boxed{\\frac{8}{3}}$.", "\\frac{8}{3}", True),
        ("So $\\boxed{8/3}$.", "\\frac{8}{3}", True),
        ("So $\\boxed{2.67}$.", "\\frac{8}{3}", False),
        ("So $\\boxed{2+6x}$.", "6x+2", True),
        ("So $\\boxed{6x}$.", "6x+2", False),
        ("The answer is 42.", "42", True),
        ("42", "42", False),
        ("\\boxed{42} no, \\boxed{41}", "42", False),
    ],
)
async def test_the_reward_is_the_service_s_own_check(text: str, wanted: str, right: bool) -> None:
    assert await is_correct(text, wanted) is right


def test_published_settings_are_grpo_s_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(grpo, "grpo", lambda *arguments, **_: taken.extend(arguments))
    (tmp_path / "q.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n' * 16)
    monkeypatch.delenv("CHECKPOINT", raising=False)
    assert command_line.grpo(["out", "--questions", str(tmp_path / "q.jsonl")]) == 0
    checkpoint, _, _, published = taken
    assert checkpoint == "instruct"
    assert (published.group, published.rate, published.kl, published.tokens, published.batch) == (
        64, 1e-6, 0.04, 1024, 1024,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "count", "processes", "taken"),
    [
        (75, 16, 1, True),
        (75, 15, 1, False),
        (51, 16, 1, True),
        (50, 16, 1, False),
        (0, 16, 1, False),
        (-2, 16, 1, False),
        (-1, 816, 1, True),
        (-1, 815, 1, False),
        (-1, 816, 4, False),
        (-1, 1632, 4, True),
    ],
)
def test_steps_are_taken_in_place_of_the_settings_own_or_refused(
    steps: int,
    count: int,
    processes: int,
    taken: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A step takes 16 questions, or as many more as keep all processes at work; over 50 the rate rises and falls."""
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    given: list[Any] = []
    monkeypatch.setattr(grpo, "grpo", lambda *arguments, **_: given.extend(arguments))
    (tmp_path / "q.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n' * count)
    questions = ["--questions", str(tmp_path / "q.jsonl")]
    command = ["out", *questions, "--settings", "tiny", f"--steps={steps}"]
    if taken:
        assert command_line.grpo(command) == 0
        assert (given[3].steps, given[3].group, len(given[1])) == (steps, 8, count)
    else:
        with pytest.raises(SystemExit):
            command_line.grpo(command)
        said = " ".join(capsys.readouterr().err.split())
        assert f"--steps {steps} and {count} questions are too few. A step takes {32 if processes == 4 else 16}" in said


def test_the_rate_of_grpo_falls_to_nothing_over_its_last_steps(tmp_path: Path) -> None:
    config = trainer_config(SETTINGS["tiny"], tmp_path, on_gpu=False)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], config.learning_rate)
    schedule = get_scheduler(
        config.lr_scheduler_type, optimizer, config.warmup_steps, config.max_steps, dict(config.lr_scheduler_kwargs)
    )
    rates = []
    for _ in range(config.max_steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[5:76] == [1e-4] * 71
    assert rates[75:] == sorted(rates[75:], reverse=True)
    assert rates[-1] < 1e-4 / 40
    assert schedule.get_last_lr()[0] == 0


def test_a_family_is_published_whole_with_its_picture(family: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for member in ("base", "instruct", "rl"):
        (run / member).parent.mkdir(exist_ok=True)
        (run / member).symlink_to(family / ("base" if member == "base" else "instruct"))
    results: list[Mapping[str, Any]] = [{"checkpoint": "rl", "mode": "cot", "right": 9, "count": 10}]
    (run / "accuracy.jsonl").write_text("".join(json.dumps(line) + "\n" for line in results))
    (run / "rl.run").mkdir()
    (run / "rl.run/log.jsonl").write_text(
        '{"step": 0, "held": 0.4, "seconds": 1}\n{"step": 1, "reward": 0.5, "kl": 0.1, "held": 0.5, "seconds": 3}\n'
    )
    size = publish(run, tmp_path / "tiny")
    assert size == sum(file.stat().st_size for file in (tmp_path / "tiny").rglob("*") if file.is_file())
    names = {file.name for file in (tmp_path / "tiny").iterdir()}
    assert names == {"base", "instruct", "rl", "rl.gguf", "grpo.jsonl", "accuracy.jsonl"}
    assert [(row["step"], row["seconds"]) for row in lines(tmp_path / "tiny/grpo.jsonl")] == [(0, 1), (1, 3)]
    draw_picture(tmp_path / "tiny", tmp_path / "tiny.png")
    assert (tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG")


def test_the_vocabulary_is_the_same_for_the_same_texts() -> None:
    texts = [document(Random(seed)) for seed in range(100)]
    assert grow(texts, 640).to_str() == grow(texts, 640).to_str()
