"""The options that say which services answer, and how much each is asked at once."""

import argparse
from collections.abc import Callable

from deepseek_math.jobs.served import MAX_IN_FLIGHT


def add_service_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", action="append", help="a running service; without one, CHECKPOINT is served on this machine")
    add(
        "--concurrency",
        type=whole(MAX_IN_FLIGHT),
        metavar="N",
        help=f"questions in flight, at most {MAX_IN_FLIGHT} (default: the service's slots and 4)",
    )
    add("--ray", type=whole(), metavar="N", help="N Ray workers, each with a service of its own or one of N --urls")


def whole(most: int | None = None) -> Callable[[str], int]:
    """Reads a whole number from 1 to what the service takes: with more, the service would refuse every question."""

    def read(text: str) -> int:
        wanted = "a whole number of 1 or more" if most is None else f"a whole number from 1 to {most}"
        if not text.isdecimal() or int(text) < 1 or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return int(text)

    return read


def require_a_url_each(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the command with status 2 where Ray's workers and the addresses are not as many."""
    if options.ray and options.url and len(options.url) != options.ray:
        parser.error(
            f"--ray {options.ray} with {len(options.url)} --url: each worker asks a service of its own, so their "
            "numbers must be the same"
        )
