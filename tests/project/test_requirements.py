"""The requirements stand once, in pyproject.toml, and every list of pins is made from it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deepseek_math.paths import ROOT

LISTS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
PARTS: dict[str, list[str]] = {  # the extras and groups of each list
    "run": ["chat"],
    "door": ["door"],
    "page": ["door", "page"],
    "evaluate": ["evaluate"],
    "bench": ["bench"],
    "train": ["train"],
    "check": ["lint", "unit"],
    "test": ["hf", "chat", "door", "page", "evaluate", "bench", "train", "lint", "unit", "test"],
}
APART = ("lock", "programs", "vllm", "doors", "llama_index")  # lists with packages of their own
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(name: str) -> dict[str, set[str]]:
    """The versions that a list pins of each package: one, or one for each marker."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if not line.startswith(("#", " ")):
            package, _, version = line.partition(";")[0].strip(" \\").partition("==")
            found.setdefault(canonical(package), set()).add(version)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for versions in found.values() for version in versions), name
    return found


def declared(*names: str) -> dict[str, str]:
    """The pins of pyproject.toml: of every command, or of the extras and groups that are named."""
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    requirements = list(PROJECT["project"]["dependencies"])
    for name in names:
        requirements += extras.get(name, []) + groups.get(name, [])
    found: dict[str, str] = {}
    for requirement in requirements:
        if requirement == "deepseek-math[hf]":
            found |= declared("hf")
        else:
            package, _, version = requirement.partition("==")
            assert version, f"{requirement} is not pinned"
            found[canonical(package.partition("[")[0])] = version
    return found


@pytest.mark.unit
def test_each_list_is_held_against_what_it_is_made_from() -> None:
    assert {*PARTS, *APART, "torch", "llama_cpp"} == {name.removesuffix(".txt") for name in LISTS}


@pytest.mark.unit
@pytest.mark.parametrize(("name", "parts"), PARTS.items())
def test_a_list_has_what_pyproject_declares_for_it(name: str, parts: list[str]) -> None:
    listed = pins(f"requirements/{name}.txt")
    for package, version in declared(*parts).items():
        assert listed[package] == {version}, package
    assert "torch" not in listed


@pytest.mark.unit
def test_every_list_but_torch_s_and_the_container_s_has_hashes_and_none_names_a_registry() -> None:
    for name in LISTS:
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        assert "index-url" not in text
        if name not in ("torch.txt", "llama_cpp.txt", "vllm.txt"):
            packages = re.split(r"\n(?=\S)", text.split("make lock\n")[1])
            assert all("--hash=sha256:" in package for package in packages), name
    assert {"uv", "pip-audit"} <= set(pins("requirements/lock.txt"))
    assert pins("requirements/torch.txt") == {"torch": {declared("torch")["torch"]}}


@pytest.mark.unit
def test_all_lists_pin_the_same_versions_and_the_container_s_differ_in_torch_alone() -> None:
    everything = pins("requirements/test.txt") | pins("requirements/torch.txt")
    for name in LISTS:
        if name.removesuffix(".txt") not in APART:
            assert pins(f"requirements/{name}").items() <= everything.items(), name
    container = pins("requirements.txt")
    assert set(container) - set(everything) == {"torchvision", "hf-transfer"}
    shared = set(container) & set(everything)
    assert {name for name in shared if not container[name] <= everything[name]} == {"torch"}


@pytest.mark.unit
def test_the_container_has_the_service_s_packages_and_none_of_training_s() -> None:
    container = pins("requirements.txt")
    wanted = declared("hf", "container")
    assert {name for name in wanted if container.get(name) != {wanted[name]}} == {"cog", "coglet"}  # Cog installs both
    assert not {"trl", "datasets", "peft", "gguf", "matplotlib", "ray", "pytest", "starlette", "uvicorn"} & set(
        container
    )


@pytest.mark.unit
def test_the_container_of_a_gguf_file_has_what_its_commands_need_and_no_more() -> None:
    listed = pins("requirements/llama_cpp.txt")
    wanted = declared()
    assert {name for name in wanted if listed.get(name) != {wanted[name]}} == {"cog", "coglet"}  # Cog installs both
    assert listed.items() <= pins("requirements.txt").items()
    assert not {"torch", "torchvision", "transformers", "accelerate", "numpy", "starlette", "uvicorn"} & set(listed)


@pytest.mark.unit
def test_vllm_s_parts_are_for_the_cuda_of_the_image_it_goes_into() -> None:
    listed = pins("requirements/vllm.txt")
    group = dict(requirement.split("==") for requirement in PROJECT["dependency-groups"]["vllm"])
    assert {name: {version} for name, version in group.items()}.items() <= listed.items()
    cuda = re.search(r'cuda: "([\d.]+)"', (ROOT / "cog.yaml").read_text())
    assert cuda
    assert [version for version in listed["nvidia-cuda-runtime-cu12"] if version.startswith(f"{cuda[1]}.")]
    assert not [name for name in listed if name.endswith("cu13")]
    assert {"triton", "cuda-bindings", "tokenizers"} <= set(listed)


@pytest.mark.unit
def test_programs_get_packages_of_their_own_here_and_in_the_container() -> None:
    """Cog's `requirements.txt` can't hold two versions of a package, so a step of its own installs these."""
    group = dict(requirement.split("==") for requirement in PROJECT["dependency-groups"]["programs"])
    assert {name: {version} for name, version in group.items()} == pins("requirements/programs.txt")
    step = (ROOT / "cog.yaml").read_text().split('/programs"')[1].split("predict:")[0]
    assert dict(requirement.split("==") for requirement in step.split()) == group
    assert "print(sys.prefix)')/programs" in (ROOT / "cog.yaml").read_text()  # packages.default_folder


@pytest.mark.registry
def test_the_lists_are_what_make_lock_writes(tmp_path: Path) -> None:
    """With uv in an environment of its own; what the lists have is kept where it still fits."""
    for name in ("pyproject.toml", "Makefile", "requirements.txt", "README.md", "deepseek_math/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    make = ["make", "--no-print-directory", "lock", f"PYTHON={sys.executable}"]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("requirements.txt", *(f"requirements/{name}" for name in LISTS)):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run make lock"
