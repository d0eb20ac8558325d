"""docs/containers.md: its files can be read, and its probes are commands that there are."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deepseek_math.local import health
from deepseek_math.paths import ROOT

pytestmark = pytest.mark.unit

PAGE = (ROOT / "docs" / "containers.md").read_text()
FILES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
PROBE = ["python", "-m", "deepseek_math", "health"]


def lists(value: Any) -> Iterator[list[Any]]:
    """Every list in what a YAML file holds."""
    if isinstance(value, dict):
        value = list(value.values())
    elif isinstance(value, list):
        yield value
    else:
        return
    for each in value:
        yield from lists(each)


def probes() -> list[list[str]]:
    """The options of every probe that the page names."""
    found = [shlex.split(text) for text in re.findall(r"python -m deepseek_math health([ \w-]*)", PAGE)]
    for file in FILES:
        for command in lists(yaml.safe_load(file)):
            words = command[1:] if command[:1] == ["CMD"] else command
            if words[:4] == PROBE:
                found.append(words[4:])
    return found


def test_every_probe_is_a_command_that_there_is() -> None:
    assert len(probes()) >= 7
    for options in probes():
        health.parser().parse_args(options)


def test_a_deployment_has_a_time_to_start_to_answer_and_to_end() -> None:
    deployment = next(yaml.safe_load(file) for file in FILES if "kind: Deployment" in file)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    assert all("httpGet" not in container[name] for name in container if name.endswith("Probe"))
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 3600
    assert "--alive" in container["livenessProbe"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= 300
    mounts = {each["name"] for each in container["volumeMounts"]}
    assert mounts == {each["name"] for each in pod["volumes"]}
