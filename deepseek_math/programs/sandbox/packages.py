"""The packages that programs may import: a folder of their own, apart from the service's.

They are those of the published results (deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/environment.yml), and
requirements/programs.txt pins them. `make setup-tool` fills the folder of the environment that runs the service.
"""

import sys
from importlib.metadata import distributions
from pathlib import Path

NAMES = ("sympy", "numpy", "scipy", "matplotlib", "pandas", "networkx")
PYTHONS = ((3, 11), (3, 12))  # numpy 1.26.0 and scipy 1.11.3 have no build for a later one


def default_folder() -> Path:
    return Path(sys.prefix, "programs")


def versions(folder: Path) -> dict[str, str]:
    """The version of each package of NAMES that lies in `folder`."""
    found = {each.metadata["Name"].lower(): each.version for each in distributions(path=[str(folder)])}
    return {name: found[name] for name in NAMES if name in found}


def missing(folder: Path) -> list[str]:
    present = versions(folder)
    return [name for name in NAMES if name not in present]
