"""An image as `cog build` writes it, built by plain `docker build`.

Cog's own command line comes from no package registry. These are the steps that it writes (replicate/cog at 6110c912,
pkg/dockerfile/standard_generator.go) for a machine without a GPU, in its order. Two things differ: pip stands for uv,
and the base image has no tini, so process 1 is Cog's server.
"""

import json
from pathlib import Path

import yaml

from deepseek_math.cog import schema
from deepseek_math.inputs import CONCURRENCY, INPUTS
from deepseek_math.local import image
from tests.container.docker import docker

BASE = "python:3.11-slim"
CODE = ".py"
WEIGHTS_BYTES = 10 << 20  # Cog's bound: a folder with a larger file, and no code, is weights
INSTALL = "python -m pip install --no-cache-dir"


def build(folder: Path, tag: str) -> str:
    """Builds what `image.export` has put into `folder`. Returns the tag."""
    schema.write(schema.document(INPUTS), folder / ".cog" / "openapi_schema.json")
    weights = weights_folders(folder)
    if weights:
        _docker_build(folder, f"{tag}-weights", weights_dockerfile(weights))
    ignore = folder / ".dockerignore"
    ignore.write_text("".join(f"{name}\n" for name in weights))
    _docker_build(folder, tag, dockerfile(folder, tag))
    ignore.unlink()
    return tag


def _docker_build(folder: Path, tag: str, dockerfile: str) -> None:
    docker("build", "--network", "host", "--tag", tag, "--file", "-", str(folder), text=dockerfile)


def weights_folders(folder: Path) -> list[str]:
    """Those that `--separate-weights` finds: with a large file, and no code."""
    found = []
    for path in sorted(folder.glob("*/**/")):
        files = [each for each in path.iterdir() if each.is_file()]
        large = any(each.stat().st_size >= WEIGHTS_BYTES for each in files)
        if large and not any(each.suffix == CODE for each in files):
            found.append(path.relative_to(folder).as_posix())
    return found


def weights_dockerfile(weights: list[str]) -> str:
    return "FROM scratch\n" + "".join(f"COPY {name} /src/{name}\n" for name in weights)


def dockerfile(folder: Path, tag: str) -> str:
    config = yaml.safe_load((folder / "cog.yaml").read_text())
    build = config["build"]
    weights = weights_folders(folder)
    lines = [f"FROM {tag}-weights AS weights"] if weights else []
    lines += [f"FROM {BASE}"]
    lines += [f"ENV {entry}" for entry in config.get("environment", [])]
    lines += [
        "COPY requirements.txt /tmp/requirements.txt",
        'ENV CFLAGS="-O3 -funroll-loops -fno-strict-aliasing -flto -S"',
        f"RUN {INSTALL} -r /tmp/requirements.txt",
        "ENV CFLAGS=",
        f"RUN {INSTALL} coglet=={image.COGLET.removeprefix('pypi:')}",
        f"RUN {INSTALL} cog=={build['sdk_version']}",
    ]
    lines += [f"RUN {' '.join(step.split())}" for step in build["run"]]
    lines += [f"COPY --from=weights /src/{name} /src/{name}" for name in weights]
    lines += [
        "WORKDIR /src",
        "EXPOSE 5000",
        f'ENV COG_PREDICT_TYPE_STUB="{config["predict"]}"',
        f"ENV COG_MAX_CONCURRENCY={CONCURRENCY}",
        'CMD ["python", "-m", "cog.server.http"]',
        "COPY . /src",
        f"LABEL run.cog.config={json.dumps(json.dumps(config))}",
    ]
    return "\n".join(lines) + "\n"
