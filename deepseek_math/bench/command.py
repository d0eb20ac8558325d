"""What the bench's commands share: their parser, and how they end."""

import argparse
import subprocess
from collections.abc import Callable

import httpx

from deepseek_math.bench.streams import BenchError
from deepseek_math.exit_status import FAULTS as COMMON_FAULTS
from deepseek_math.exit_status import exit_status
from deepseek_math.local.server import ServerFailed

FAULTS = (*COMMON_FAULTS, BenchError, ServerFailed, httpx.HTTPError, subprocess.CalledProcessError)


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"dsm {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def status_of(bench: Callable[[], int | None]) -> int:
    """Runs `bench` and returns its exit status, as `exit_status` does."""
    return exit_status(bench, "bench: stopped, and its servers with it", FAULTS, prefix="bench: ")
