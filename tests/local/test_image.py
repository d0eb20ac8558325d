"""The container: cog.yaml as Cog's schema has it, pins that resolve, a small build context, one image a checkpoint."""

import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from fnmatch import translate
from pathlib import Path

import pytest
import yaml

from deepseek_math.checkpoints import CHECKPOINTS, find
from deepseek_math.checkpoints.table import TINY
from deepseek_math.engines.vllm.environment import python_of
from deepseek_math.errors import ServiceError
from deepseek_math.local import image
from deepseek_math.paths import ROOT
from deepseek_math.settings import default_engine
from tests.project.test_requirements import canonical, declared, pins

pytestmark = pytest.mark.xdist_group("root")  # they write files into the repository's root

# What Cog's published schema allows of what is used here: pkg/config/data/config_schema_v1.0.json of replicate/cog
# 0.22.0. Nothing else may stand at the top level or in `build`, and not both `run` and `predict`.
TOP = {"build", "image", "model", "run", "predict", "train", "concurrency", "environment", "weights"}
BUILD: dict[str, type | tuple[type, ...]] = {
    "cuda": str,
    "cudnn": str,
    "gpu": bool,
    "python_version": (str, int, float),
    "python_packages": list,
    "pre_install": list,
    "python_requirements": str,
    "system_packages": list,
    "sdk_version": str,
    "run": list,
}
ENVIRONMENT = r"[A-Za-z_][A-Za-z0-9_]*=.*"
REFERENCE = r"[^:]+\.py:[A-Za-z_]\w*"


def broken_rules(text: str) -> list[str]:
    """The rules of Cog's schema that a cog.yaml breaks."""
    config = yaml.safe_load(text)
    build = config.get("build") or {}
    broken = [f"unknown: {name}" for name in config if name not in TOP]
    broken += [f"unknown: build.{name}" for name in build if name not in BUILD]
    broken += [f"type: build.{name}" for name, value in build.items() if not isinstance(value, BUILD.get(name, object))]
    broken += ["build.python_version is required"] * ("python_version" not in build)
    broken += ["run and predict"] * ("run" in config and "predict" in config)
    reference = config.get("run") or config.get("predict") or ""
    broken += [f"reference: {reference}"] * (not re.fullmatch(REFERENCE, reference))
    for entry in config.get("environment") or []:
        broken += [f"environment: {entry}"] * (not re.fullmatch(ENVIRONMENT, str(entry)))
    return broken


def test_cog_yaml_keeps_the_rules_of_cog_s_schema_for_every_checkpoint() -> None:
    assert broken_rules((ROOT / "cog.yaml").read_text()) == []
    assert broken_rules(image.variant(find("rl"), "vllm")) == []
    for checkpoint in CHECKPOINTS.values():
        text = image.variant(checkpoint)
        assert broken_rules(text) == []
        assert "environment" not in yaml.safe_load(text)  # it would stand before the packages


def test_the_rules_find_what_breaks_them() -> None:
    text = (ROOT / "cog.yaml").read_text()
    assert broken_rules(text.replace("gpu: true", "gpu: yes please")) == ["type: build.gpu"]
    assert broken_rules(text.replace("gpu:", "gpus:")) == ["unknown: build.gpus"]
    assert broken_rules(text + "envs: []\n") == ["unknown: envs"]
    assert broken_rules(text + 'run: "a.py:B"\n') == ["run and predict"]
    assert broken_rules(text + "environment:\n  - CHECKPOINT\n") == ["environment: CHECKPOINT"]


def context_files(patterns: str) -> list[Path]:
    """What the build is sent: Docker's rules for .dockerignore, where the last pattern that fits decides."""
    rules = [line for line in patterns.splitlines() if line and not line.startswith("#")]
    sent = []
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        if here.parts[:1] in {(".git",), (".venv",)} and not _sent(here.parts[0], rules):
            folders.clear()
            continue
        sent += [here / file for file in files if _sent((here / file).as_posix(), rules)]
    return sent


def _sent(path: str, rules: list[str]) -> bool:
    sent = True
    prefixes = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
    for rule in rules:
        pattern = translate(rule.lstrip("!").replace("**/", "")).replace(".*", "[^/]*")
        tails = [prefix.split("/")[-1] for prefix in prefixes] if "**/" in rule else prefixes
        if any(re.match(pattern, tail) for tail in tails):
            sent = rule.startswith("!")
    return sent


def test_the_build_context_is_small_and_has_the_code() -> None:
    files = context_files((ROOT / ".dockerignore").read_text())
    size = sum((ROOT / file).stat().st_size for file in files)
    assert size < 13_000_000, sorted(files, key=lambda file: -(ROOT / file).stat().st_size)[:5]
    names = {file.as_posix() for file in files}
    assert {"replicate/predict.py", "deepseek_math/checkpoints/table.py", "requirements.txt", "cog.yaml"} <= names
    apart = tuple(f"deepseek_math/{name}/" for name in ("batch", "bench", "evaluation", "jobs", "training"))
    left_out = ("tests/", "docs/", ".git/", "weights/smollm2-135m", ".venv/", "requirements/", *apart)
    assert not any(name.startswith(left_out) for name in names)


def test_every_image_holds_the_demo_and_no_other_checkpoint_of_the_repository() -> None:
    """`-e CHECKPOINT=demo` is the smoke test of every image, also of one that plain `cog build` makes."""
    names = {path.as_posix() for path in context_files((ROOT / ".dockerignore").read_text())}
    weights = {name for name in names if name.startswith("weights/")}
    assert weights - {"weights/checkpoints.lock.json"} == {"weights/README.md", "weights/tiny/rl.gguf"}


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("rl", {"weights/tiny/rl.gguf"}),
        ("tiny-rl", {"weights/tiny/rl.gguf"}),
        ("tiny-base", {"weights/tiny/rl.gguf", *(f"weights/tiny/base/{file}" for file in files_of(TINY / "base"))}),
    ],
)
def test_an_image_is_built_from_the_service_s_code_and_the_one_checkpoint(
    name: str, weights: set[str], tmp_path: Path
) -> None:
    image.export(find(name), bake=False, folder=tmp_path)
    files = files_of(tmp_path)
    assert {file for file in files if file.startswith("weights/")} == weights
    others = files - weights
    assert {"cog.yaml", "requirements.txt", "checkpoint.txt", "replicate/predict.py", "LICENSE-CODE"} <= others
    code = {file for file in others if file.startswith("deepseek_math/")}
    assert "deepseek_math/service.py" in code
    assert not {file for file in code if file.split("/")[1] in image.CLIENTS or "__pycache__" in file}
    assert others - code == {"cog.yaml", "requirements.txt", "checkpoint.txt", "replicate/predict.py", "LICENSE-CODE"}


def test_baked_weights_are_the_checkpoint_s_own_files_and_take_no_more_room(smollm2: Path, tmp_path: Path) -> None:
    beside = image.FOLDER.parent / f"test-{tmp_path.name}"  # on the disk of the weights
    try:
        image.export(find("smollm2-135m"), bake=True, folder=beside)
        found = beside / smollm2.relative_to(ROOT)
        assert found.samefile(smollm2)
        assert {path.parts[0] for path in map(Path, files_of(beside / "weights"))} == {"smollm2-135m", "tiny"}
    finally:
        shutil.rmtree(beside)


def test_links_within_a_checkpoint_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the hub's own cache: names in snapshots/ that lead to blobs/."""
    folder = tmp_path / "weights" / "rl"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "0a1b").write_text("{}")
    (folder / "config.json").symlink_to("blobs/0a1b")
    monkeypatch.setattr("deepseek_math.checkpoints.store.WEIGHTS", tmp_path / "weights")
    image.export(find("rl"), bake=True, folder=tmp_path / "export")
    exported = tmp_path / "export" / "weights" / "rl" / "config.json"
    assert exported.read_text() == "{}"
    assert not exported.is_symlink()


def test_where_the_disk_is_another_one_weights_are_copied(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_disk(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr("os.link", another_disk)
    image.export(find("smollm2-135m"), bake=True, folder=tmp_path)
    assert (tmp_path / smollm2.relative_to(ROOT)).read_bytes() == smollm2.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["image", "rl"], "cog build -t deepseek-math:rl"),
        (["image", "rl-q4_k_m"], "cog build -t deepseek-math:rl-q4_k_m"),
        (["image", "rl", "--engine", "vllm"], "cog build -t deepseek-math:rl-vllm"),
        (["push", "base", "registry.example/me/it"], "cog push registry.example/me/it"),
        (["image", "smollm2-135m", "--bake"], "cog build -t deepseek-math:smollm2-135m --separate-weights"),
    ],
)
def test_cog_is_called_once_in_a_folder_that_is_gone_afterwards(
    arguments: list[str], expected: str, smollm2: Path, tmp_path: Path
) -> None:
    """A program called cog writes down what it was called with, and what it found."""
    cog = tmp_path / "cog"
    cog.write_text(
        f'#!/bin/sh\necho "cog $*" >> {tmp_path}/calls\necho "$COGLET_WHEEL" > {tmp_path}/coglet\n'
        f"cp checkpoint.txt {tmp_path}/\nls weights > {tmp_path}/weights\nexit 7\n"
    )
    cog.chmod(cog.stat().st_mode | stat.S_IXUSR)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "deepseek_math", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == [expected]
    assert (tmp_path / "coglet").read_text() == f"pypi:{declared()['coglet']}\n"
    assert (tmp_path / "checkpoint.txt").read_text() == f"{arguments[1]}\n"
    assert (tmp_path / "weights").read_text().split() == [*([arguments[1]] if "--bake" in arguments else []), "tiny"]
    assert not image.FOLDER.exists()


@pytest.mark.parametrize("name", ["rl", "base", "smollm2-135m", "rl-q4_k_m", "tiny-rl", "tiny-base"])
def test_an_image_for_a_cpu_asks_for_no_gpu_and_says_nothing_of_another_checkpoint(name: str) -> None:
    text = image.variant(find(name))
    build = yaml.safe_load(text)["build"]
    gpu = name in ("rl", "base")
    assert (build["gpu"], "cuda" in build) == (gpu, gpu)
    assert "rl when unset" not in text


@pytest.mark.parametrize("name", ["smollm2-135m", "rl-q4_k_m", "tiny-rl"])
def test_an_image_of_a_gguf_file_has_no_package_of_torch_s(name: str) -> None:
    assert image.requirements(find(name)) == ROOT / "requirements" / "llama_cpp.txt"


@pytest.mark.parametrize("name", ["rl", "tiny-base"])
def test_an_image_of_safetensors_has_all_packages(name: str) -> None:
    assert image.requirements(find(name)) == ROOT / "requirements.txt"


def test_an_image_of_vllm_has_it_in_an_environment_of_its_own_and_takes_it_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is built is where the service looks for it, and has no torch of the service's own beside it."""
    image.export(find("rl"), bake=False, folder=tmp_path, engine="vllm")
    steps = yaml.safe_load((tmp_path / "cog.yaml").read_text())["build"]["run"]
    assert len(steps) == 2
    assert steps[1].endswith(" ".join(f"{name}=={version}" for name, version in vllm_pins()))
    assert not {"torch", "transformers"} & {line.split("==")[0] for line in lines(tmp_path / "requirements.txt")}
    calls = ran(steps[1], tmp_path)
    environment = Path(sys.prefix) / "vllm"
    assert calls[0] == f"-m venv --without-pip {environment}"
    assert calls[1].startswith(f"-m pip --python {environment}/bin/python install")
    with pytest.raises(ServiceError, match=f"in the environment {environment},"):
        python_of(None)
    monkeypatch.setattr("deepseek_math.settings.ENGINE_FILE", tmp_path / "engine.txt")
    assert default_engine() == "vllm"


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def vllm_pins() -> list[tuple[str, str]]:
    return [(name, version) for name, _, version in (line.partition("==") for line in lines(image.VLLM_LIST))]


def ran(step: str, folder: Path) -> list[str]:
    """What a step of the build calls `python` with, in a shell; `-c` is really run."""
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\necho "$*" >> {folder}/calls\n')
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", step], env=environment, check=True)
    return lines(folder / "calls")


@pytest.mark.parametrize("name", ["demo", "rl-q4_k_m", "tiny-base"])
def test_vllm_goes_into_no_image_for_a_cpu(name: str) -> None:
    command = [sys.executable, "-m", "deepseek_math", "image", name, "--engine", "vllm", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("setting_invalid: ENGINE=vllm is for a GPU, and the image of ")


def test_two_images_differ_in_no_step_before_the_source(tmp_path: Path) -> None:
    """What Cog reads before it copies the source: cog.yaml and the list of packages."""
    first, second = (find(name) for name in ("tiny-rl", "smollm2-135m"))
    assert image.variant(first) == image.variant(second)
    assert image.requirements(first) == image.requirements(second)


def test_an_image_keeps_what_cog_yaml_sets_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/cluster.md has it for a service before a cluster: two lines."""
    lines = re.search(r"```yaml\n(environment:\n  - ENGINE_URL=.*\n)```", (ROOT / "docs/cluster.md").read_text())
    assert lines
    (tmp_path / "cog.yaml").write_text((ROOT / "cog.yaml").read_text() + lines[1])
    monkeypatch.setattr(image, "ROOT", tmp_path)
    assert yaml.safe_load(image.variant(find("rl")))["environment"] == [lines[1].split("- ")[1].strip()]


@pytest.mark.parametrize("name", ["demo", "tiny-rl"])
def test_an_image_of_the_demo_is_that_of_the_checkpoint_it_stands_for(name: str) -> None:
    command = [sys.executable, "-m", "deepseek_math", "image", name, "--bake", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--separate-weights" not in done.stdout  # Cog fails where it finds no weights
    assert "# checkpoint.txt\ntiny-rl\n" in done.stdout
    assert "requirements.txt: requirements/llama_cpp.txt" in done.stdout
    assert "cog build -t deepseek-math:tiny-rl" in done.stdout


@pytest.mark.parametrize(
    ("name", "reason"), [("instrct", "Did you mean instruct?"), ("hf://a/b", "An image takes one")]
)
def test_a_name_that_no_image_has_is_refused_as_elsewhere(name: str, reason: str) -> None:
    command = [sys.executable, "-m", "deepseek_math", "image", name, "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("checkpoint_unknown: ")
    assert reason in done.stderr
    assert "usage" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_build_that_is_ended_leaves_nothing_and_no_other_runs_beside_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    """After a SIGKILL the next build puts things right."""
    cog = tmp_path / "cog"
    cog.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\n[ -e {tmp_path}/quick ] || exec sleep 600\n")
    cog.chmod(cog.stat().st_mode | stat.S_IXUSR)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "deepseek_math", "image", "tiny-rl"]
    first = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        while not (tmp_path / "begun").exists() and first.poll() is None:
            time.sleep(0.02)
        assert (image.FOLDER / "checkpoint.txt").exists()
        second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "Another image is being built" in second.stderr
        first.send_signal(number)
        assert first.wait(30) != 0
        if number == signal.SIGKILL:
            assert image.FOLDER.exists()
            (image.FOLDER / "left-over").touch()
            (tmp_path / "quick").touch()
            assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
        assert not image.FOLDER.exists()
    finally:
        os.killpg(first.pid, signal.SIGKILL) if _alive(first.pid) else None
        shutil.rmtree(image.FOLDER, ignore_errors=True)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.registry
def test_the_container_s_pins_exist_and_resolve_together(tmp_path: Path) -> None:
    """pip's own resolver, without installing. It reads the packages' metadata from the registry."""
    report = tmp_path / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "-r", "requirements.txt", "--only-binary", ":all:"]
    options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
    done = subprocess.run([*pip, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    chosen = {
        canonical(entry["metadata"]["name"]): {entry["metadata"]["version"].partition("+")[0]}
        for entry in json.loads(report.read_text())["install"]
    }
    assert pins("requirements.txt").items() <= chosen.items()
