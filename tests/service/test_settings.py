"""The environment is read once, and a value that means nothing is refused by name."""

from pathlib import Path

import pytest

from deepseek_math.engines.memory import checked_context
from deepseek_math.engines.registry import LLAMA_CPP, TRANSFORMERS, VLLM, row_of
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.settings import DEFAULT_ENGINE, ENGINES, Settings, default_engine

pytestmark = pytest.mark.unit

REFUSED = [
    {"SLOTS": "abc"},
    {"SLOTS": "0"},
    {"SLOTS": "-2"},
    {"SLOTS": "1.5"},
    {"SLOTS": "²"},
    {"CONTEXT": "0"},
    {"CONTEXT": "1" * 40},
    {"CONTEXT": "4k"},
    {"THREADS": "all"},
    {"TOOL_PROCESSES": "0"},
    {"TIME_LIMIT": "0"},
    {"TIME_LIMIT": "-1"},
    {"TIME_LIMIT": "soon"},
    {"TIME_LIMIT": "nan"},
    {"TIME_LIMIT": "inf"},
    {"LOG_PROMPTS": "no"},
    {"LOG_PROMPTS": "2"},
    {"PROGRAM_PACKAGES": "/no/such/folder"},
    {"DTYPE": "bf16"},
    {"DEVICE_MAP": "cuda:0"},
    {"ENGINE": "vLLM"},
    {"ENGINE": "llama_cpp"},
    {"VLLM_ARGS": "--seed '7", "ENGINE": "vllm"},
    {"VLLM_ENVIRONMENT": "/no/such/folder", "ENGINE": "vllm"},
    {"ENGINE_URL": "127.0.0.1:8000"},
    {"ENGINE_URL": "ftp://host"},
    {"ENGINE_URL": "http://"},
    {"ENGINE_URL": "http://host:99999"},
    {"ENGINE_URL": "http://a b"},
    {"ENGINE_URL": "http://☃.☃x."},
    {"ENGINE_URL": "http://xn--a"},
    {"ENGINE_URL": "http://a..b"},
    {"ENGINE_URL": f"http://{'a' * 64}.b"},
]


@pytest.mark.parametrize("environment", REFUSED)
def test_a_value_that_means_nothing_is_refused_by_name(environment: dict[str, str]) -> None:
    (name, value), *_ = environment.items()
    with pytest.raises(ServiceError, match="setting_invalid") as refused:
        Settings.read(environment)
    assert f"{name}={value!r}" in refused.value.message


def test_a_number_of_thousands_of_digits_is_refused_and_cut_in_the_message() -> None:
    with pytest.raises(ServiceError, match=r"SLOTS='1{40}'\. Use a whole number"):
        Settings.read({"SLOTS": "1" * 5000})


def test_unset_and_empty_are_the_defaults() -> None:
    assert Settings.read({}) == Settings.read({"SLOTS": "", "DTYPE": "", "CHECKPOINT": ""}) == Settings()


def test_what_is_set_is_read() -> None:
    environment = {
        "CHECKPOINT": "smollm2-135m",
        "SLOTS": "4",
        "CONTEXT": "512",
        "THREADS": "2",
        "TOOL_PROCESSES": "3",
        "TIME_LIMIT": "2.5",
        "LOG_PROMPTS": "0",
        "DTYPE": "float16",
        "DEVICE_MAP": "auto",
        "ENGINE_URL": "http://[::1]:8000/v1",
        "ENGINE_MODEL": "math",
        "ENGINE_API_KEY": " key\n",
    }
    remote = ("http://[::1]:8000/v1", "math", "key")
    assert Settings.read(environment) == Settings("smollm2-135m", 4, 512, 2, 3, 2.5, False, "float16", "auto", *remote)


def test_the_folder_of_packages_is_read(tmp_path: Path) -> None:
    assert Settings.read({"PROGRAM_PACKAGES": str(tmp_path)}).program_packages == tmp_path


def test_a_key_is_never_shown() -> None:
    address = {"ENGINE_URL": "http://host"}
    assert "secret" not in repr(Settings.read(address | {"ENGINE_API_KEY": "secret"}))
    for environment in (
        address | {"ENGINE_API_KEY": "secret\u2028x"},
        {"ENGINE_API_KEY": "secret"},
        {"ENGINE_URL": "http://me:secret@host"},
        {"ENGINE_URL": "http://host/v1?api_key=secret"},
        {"ENGINE_URL": "http://host/v1#secret"},
        {"ENGINE_URL": "host?secret@"},
    ):
        with pytest.raises(ServiceError, match="setting_invalid: ENGINE_") as refused:
            Settings.read(environment)
        assert "secret" not in refused.value.message


@pytest.mark.parametrize("name", ["ENGINE_MODEL", "ENGINE_API_KEY"])
def test_what_needs_an_address_is_refused_without_one(name: str) -> None:
    with pytest.raises(ServiceError, match=f"setting_invalid: {name} .*without ENGINE_URL"):
        Settings.read({name: "x", "ENGINE_URL": ""})


@pytest.mark.parametrize("name", ["VLLM_ARGS", "VLLM_ENVIRONMENT"])
def test_what_vllm_is_told_is_refused_without_it(name: str) -> None:
    for engine in ("", "transformers"):
        with pytest.raises(ServiceError, match=f"setting_invalid: {name} means nothing without ENGINE=vllm"):
            Settings.read({name: "/", "ENGINE": engine})


def test_an_engine_here_and_a_server_elsewhere_are_refused() -> None:
    with pytest.raises(ServiceError, match="setting_invalid: ENGINE='vllm' and ENGINE_URL are both set"):
        Settings.read({"ENGINE": "vllm", "ENGINE_URL": "http://host"})


def test_what_vllm_is_told_is_split_as_a_shell_does(tmp_path: Path) -> None:
    told = {"ENGINE": "vllm", "VLLM_ARGS": " --quantization fp8 --x '{\"a\": 1}'", "VLLM_ENVIRONMENT": str(tmp_path)}
    settings = Settings.read(told)
    assert settings.vllm_args == ("--quantization", "fp8", "--x", '{"a": 1}')
    assert (settings.engine, settings.vllm_environment) == ("vllm", tmp_path)


def test_an_image_s_engine_is_that_of_safetensors_unless_it_is_told_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_math.settings.ENGINE_FILE", tmp_path / "engine.txt")
    assert default_engine() == DEFAULT_ENGINE == ENGINES[0]
    (tmp_path / "engine.txt").write_text("vllm\n")
    assert default_engine() == "vllm"
    assert Settings.read({"VLLM_ARGS": "--seed 1"}).vllm_args == ("--seed", "1")
    assert row_of(ROOT / "weights/tiny/instruct", Settings.read({}).engine) is VLLM
    assert row_of(ROOT / "weights/tiny/rl.gguf", Settings.read({}).engine) is LLAMA_CPP  # the smoke test of every image
    assert row_of(ROOT / "weights/tiny/instruct", Settings.read({"ENGINE": "transformers"}).engine) is TRANSFORMERS


def test_weights_that_cog_hands_over_win() -> None:
    assert Settings.read({"CHECKPOINT": "smollm2-135m"}, "/src/mine").checkpoint == "/src/mine"
    assert Settings.read({"CHECKPOINT": "smollm2-135m"}, None).checkpoint == "smollm2-135m"


def test_a_context_beyond_the_checkpoint_s_is_refused_with_both_numbers() -> None:
    assert checked_context(None, 4096) == 4096
    assert checked_context(512, 4096) == 512
    with pytest.raises(ServiceError, match="setting_invalid.*8192.*4096"):
        checked_context(8192, 4096)


def test_an_image_serves_the_checkpoint_it_was_built_for_unless_it_is_told_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_math.settings.CHECKPOINT_FILE", tmp_path / "checkpoint.txt")
    assert Settings.read({}).checkpoint == "rl"
    (tmp_path / "checkpoint.txt").write_text("instruct\n")
    assert Settings.read({}).checkpoint == "instruct"
    assert Settings.read({"CHECKPOINT": ""}).checkpoint == "instruct"
    assert Settings.read({"CHECKPOINT": "demo"}).checkpoint == "demo"
    assert Settings.read({"CHECKPOINT": "demo"}, weights="base").checkpoint == "base"
