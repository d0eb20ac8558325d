"""The container as people start it: what Docker takes from it, what is left, and how it ends."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepseek_math.local.client import stream
from tests.container.docker import docker
from tests.container.running import Running

CHAT = {"prompt": "What is 12 + 30?", "mode": "chat"}
TOOL = {"prompt": "What is 2/3 + 1/2?", "mode": "tool"}
VOTE = {"prompt": "What is 12 + 30?", "samples": 16, "seed": 1}
LONG = {"prompt": "1+1=2. 2+2=", "mode": "raw", "temperature": 2.0, "top_p": 1.0, "max_new_tokens": 1500}
WRITABLE = ("--read-only", "--tmpfs", "/tmp")
BARE = ("--cap-drop", "ALL", "--user", "1000:1000", "--security-opt", "no-new-privileges")

ROWS = {
    "as it comes": (),
    "--user 1000:1000": ("--user", "1000:1000"),
    "--user 65534": ("--user", "65534"),
    "--cap-drop ALL": ("--cap-drop", "ALL"),
    "--cap-drop ALL --user 1000 no-new-privileges": BARE,
    "--read-only --tmpfs /tmp": WRITABLE,
    "read-only, no capability, user 1000, 512m": (*WRITABLE, *BARE, "--memory", "512m"),
    "--memory 512m": ("--memory", "512m", "--memory-swap", "512m"),
    "--memory 1g": ("--memory", "1g"),
    "--pids-limit 100": ("--pids-limit", "100"),
    "--cpus 1": ("--cpus", "1"),
    "--init": ("--init",),
    "seccomp=unconfined": ("--security-opt", "seccomp=unconfined"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_container_answers_runs_programs_votes_and_stops(
    name: str, demo_image: str, row: Callable[..., None]
) -> None:
    with Running(demo_image, *ROWS[name]) as container:
        ready = container.wait("READY")
        chat, tool, vote = (container.answer(**inputs)["metrics"] for inputs in (CHAT, TOOL, VOTE))
        container.answer(**TOOL | {"samples": 16, "seed": 1})  # the most memory that it ever takes
        peak = container.peak_mib()
        assert container.state(".State.OOMKilled") == "false"
        stopped = container.stop(30)
        answers = (chat["answer"], tool["answer"], vote["answer"])
        row(name, f"{ready:.1f} s", *answers, f"{peak} MiB", f"{stopped:.1f} s")
        assert answers == ("42", "\\frac{7}{6}", "42")
        assert (tool["tool_rounds"], tool["tool_errors"]) == (1, 0)
        assert container.state(".State.ExitCode") == "0"


def test_the_demo_is_every_image_s_smoke_test_without_a_network(demo_image: str) -> None:
    options = ("--env", "CHECKPOINT=demo", *WRITABLE, "--memory", "512m")
    with Running(demo_image, *options, network=False) as container:
        container.wait("READY")
        for inputs in (("mode=chat",), ("mode=tool",), ("samples=8",)):
            command = ("python", "-m", "deepseek_math", "predict", "--url", "http://127.0.0.1:5000")
            assert "42" in docker("exec", container.id, *command, CHAT["prompt"], *inputs)
        assert container.state(".State.OOMKilled") == "false"


def test_streams_end_whole_when_a_container_is_stopped_with_time_to_spare(demo_image: str) -> None:
    with Running(demo_image) as container, ThreadPoolExecutor(8) as pool:
        container.wait("READY")
        url, begun = container.url, []

        def read(seed: int) -> str:
            for event in stream(url, LONG | {"seed": seed}):
                begun.append(event.kind)
                last = event
            return str(last.data["status"])

        reading = [pool.submit(read, seed) for seed in range(8)]
        while begun.count("output") < 8:
            assert not all(each.done() for each in reading)
            time.sleep(0.01)
        container.stop(300)
        assert [each.result() for each in reading] == ["succeeded"] * 8
        assert container.state(".State.ExitCode") == "0"


FAULTS = {
    "no such checkpoint": (("--env", "CHECKPOINT=nonsense"), "checkpoint_unknown: 'nonsense' is neither"),
    "no folder to write to": (("--read-only",), "folder_unwritable: No usable temporary directory"),
    "a module that is gone": (
        ("--volume", "/dev/null:/src/deepseek_math/service.py"),
        "package_missing: The service can't be imported: No module named 'deepseek_math.service'",
    ),
    "too little memory": (("--memory", "256m"), "memory_exceeded: This container may use 0.25 GiB, and needs 0."),
    "a setting without meaning": (("--env", "SLOTS=many"), "setting_invalid: SLOTS='many'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_setup_that_fails_says_why_in_the_health_check(name: str, demo_image: str) -> None:
    options, sentence = FAULTS[name]
    with Running(demo_image, *options) as container:
        container.wait("SETUP_FAILED")
        assert sentence in container.fault()


def test_the_memory_that_a_refusal_asks_for_serves(demo_image: str) -> None:
    with Running(demo_image, "--memory", "256m") as container:
        container.wait("SETUP_FAILED")
        needed = float(container.fault().split("needs ")[1].split(" GiB")[0])
    limit = f"{int((needed + 0.01) * 1024)}m"
    with Running(demo_image, "--memory", limit, "--memory-swap", limit) as container:
        container.wait("READY")
        for inputs in (CHAT, TOOL, VOTE, TOOL | {"samples": 16}):
            assert container.answer(**inputs)["status"] == "succeeded"
        assert container.state(".State.OOMKilled") == "false"
