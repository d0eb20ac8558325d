"""Which adapters a free engine can stand behind, as data, and how each is made."""

from pathlib import Path
from typing import Any

from deepseek_math.paths import ROOT

ADAPTERS = {  # as --only names them
    "free": "none (the floor)",
    "remote": "remote, vLLM's events",
    "llama_cpp": "llama.cpp",
    "transformers": "transformers",
}
SLOTS, CONTEXT = 64, 1024
FOLDER: Path = ROOT / "weights/tiny/rl"
FILE: Path = ROOT / "weights/tiny/rl.gguf"


def engine(adapter: str, rate: float, url: str) -> Any:
    """The engine behind that adapter, not started yet. `rate` is its steps a second, `url` the remote one's server."""
    match adapter:
        case "free":
            from deepseek_math.bench.free.in_process import FreeEngine

            return FreeEngine(FOLDER, CONTEXT, SLOTS, rate)
        case "remote":
            from deepseek_math.engines.remote.engine import RemoteEngine

            return RemoteEngine(FOLDER, CONTEXT, SLOTS, engine_url=url)
        case "llama_cpp":
            from deepseek_math.bench.free.behind_llama import FreeBehindLlama

            return FreeBehindLlama(FILE, CONTEXT, SLOTS, rate)
        case _:
            from deepseek_math.bench.free.behind_transformers import FreeBehindTransformers

            return FreeBehindTransformers(FOLDER, CONTEXT, SLOTS, rate)
