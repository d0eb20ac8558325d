"""What vLLM is told, and over how many GPUs a model is spread."""

from pathlib import Path

import pytest

from deepseek_math.engines.vllm import serve_command
from deepseek_math.engines.vllm.environment import Installed
from deepseek_math.errors import ServiceError

pytestmark = pytest.mark.unit

INSTALLED = Installed(Path("/opt/vllm/bin/python"), "0.19.1", 1)
SEVEN_B = {"num_attention_heads": 32, "num_key_value_heads": 32}  # deepseek-ai/deepseek-math-7b-rl's config.json
SIXTY_SEVEN_B = {"num_attention_heads": 64, "num_key_value_heads": 8}  # deepseek-ai/deepseek-llm-67b-chat's


def told(*arguments: str) -> list[str]:
    words = serve_command.command(
        INSTALLED,
        Path("/weights/rl"),
        Path("/tmp/vllm/socket"),
        context=4096,
        slots=64,
        dtype="auto",
        spread=2,
        arguments=arguments,
    )
    return words[words.index("serve") :]


def test_vllm_is_told_what_the_service_must_say_and_no_more() -> None:
    must = "serve /weights/rl --served-model-name rl --uds /tmp/vllm/socket --max-model-len 4096 --max-num-seqs 64 "
    must += "--dtype auto --tensor-parallel-size 2 --enable-prefix-caching --disable-uvicorn-access-log"
    assert " ".join(told()) == must
    assert told("--quantization", "fp8") == [*must.split(), "--quantization", "fp8"]


@pytest.mark.parametrize("arguments", [["--tensor-parallel-size", "1"], ["-tp", "1"], ["--tensor_parallel_size=1"]])
def test_who_says_over_how_many_gpus_is_obeyed(arguments: list[str]) -> None:
    words = told(*arguments)
    assert words[-len(arguments) :] == arguments
    assert words.count("--tensor-parallel-size") == arguments.count("--tensor-parallel-size")


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ("--max-model-len", "CONTEXT"),
        ("--max_num_seqs=4", "SLOTS"),
        ("--dtype=half", "DTYPE"),
        ("--model", "CHECKPOINT"),
    ],
)
def test_what_has_a_setting_of_its_own_is_refused_with_its_name(argument: str, instead: str) -> None:
    with pytest.raises(ServiceError, match=f"setting_invalid: VLLM_ARGS can't hold --.*Set {instead}."):
        serve_command.require_free(["--seed", "1", argument, "512"])
    serve_command.require_free(["--quantization", "fp8"])


@pytest.mark.parametrize(
    ("gpus", "config", "spread"),
    [
        (0, SEVEN_B, 1),
        (1, SEVEN_B, 1),
        (2, SEVEN_B, 2),
        (3, SEVEN_B, 2),
        (7, SEVEN_B, 4),
        (8, SIXTY_SEVEN_B, 8),
        (16, SIXTY_SEVEN_B, 16),
        (6, {"num_attention_heads": 12, "num_key_value_heads": 4}, 4),  # 6 divide 12, not 4 nor the other way
        (5, {"num_attention_heads": 12}, 4),
    ],
)
def test_a_model_is_spread_over_as_many_gpus_as_divide_its_heads(
    gpus: int, config: dict[str, int], spread: int
) -> None:
    assert serve_command.tensor_parallel(gpus, config) == spread


def test_vllm_s_environment_is_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/src")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = serve_command.environment(INSTALLED, tmp_path / "spare")
    assert "PYTHONPATH" not in environment
    assert environment["HOME"] == str(tmp_path)
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["PATH"].startswith("/opt/vllm/bin:")
    assert (environment["VLLM_NO_USAGE_STATS"], environment["HF_HUB_OFFLINE"]) == ("1", "1")


def test_a_user_without_a_name_or_a_home_has_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`docker run --read-only --user 1000:1000`: torch asks for the user's name, and writes into its home."""
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    environment = serve_command.environment(INSTALLED, tmp_path)
    assert (environment["HOME"], environment["USER"]) == (str(tmp_path), "service")
