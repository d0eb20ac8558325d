"""The inside of a sandbox: runs one program after the other in one set of variables, and says how each ended."""

import json
import os
import random
import sys
import traceback
from itertools import groupby
from types import CodeType, ModuleType
from typing import Any, TextIO

COMMANDS, RESULTS = 3, 4  # descriptors; 0 and 2 lead nowhere and 1 is what programs print
FRAMES = 2000  # of a traceback, from its end: more than Python's own limit of recursion
SHOWN = 3  # of equal frames in a row
NAME = "<string>"  # what `exec` calls a program's file, as the published scripts do


def serve(packages: str) -> None:
    """Takes programs until there are no more, one line of JSON each way. They import what lies in `packages`."""
    printed: TextIO = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    main = sys.modules["__main__"] = ModuleType("__main__")  # where pickle and dataclasses look for a program's classes
    with open(COMMANDS, "rb", closefd=False) as commands:
        _say({"ready": True})
        for line in commands:
            command = json.loads(line)
            if "seed" in command:
                _seed(command["seed"])
            sys.stdout = printed
            error = _run(command["code"], main.__dict__, packages)
            for stream in {id(each): each for each in (sys.stdout, printed) if each is not None}.values():
                try:
                    stream.flush()
                except Exception as fault:  # a program may have closed it, or put anything in its place
                    error = error or f"{type(fault).__name__}: {fault}"
            _say({"error": error})


def _run(code: str, variables: dict[str, Any], packages: str) -> str | None:
    """What went wrong, in the published form, or None."""
    try:
        compiled: CodeType = compile(code, NAME, "exec", dont_inherit=True)
        exec(compiled, variables)
    except SystemExit:
        return None  # a program that says it is done is done
    except BaseException as error:
        try:
            return _report(error, packages)[-20_000:]
        except BaseException as worse:  # the error is the program's own and may raise when it is printed
            return type(worse).__name__
    return None


def _report(error: BaseException, packages: str) -> str:
    """The traceback as the published scripts shorten it: no lines of the program itself, no paths of this machine.

    After evaluation/eval/python_executor.py (deepseek-ai/DeepSeek-Math at b8b0f8c), which drops the frames of
    `<module>` and the line numbers, and cuts paths before site-packages.
    """
    frames = []
    for frame in traceback.extract_tb(error.__traceback__, limit=-FRAMES):
        if frame.filename == __file__ or frame.name == "<module>":
            continue
        in_packages = frame.filename.removeprefix(packages)
        where = "" if in_packages == frame.filename else f'File "site-packages{in_packages}", '
        frames.append(f"  {where}in {frame.name}" + (f"\n    {frame.line}" if frame.line else ""))
    words = "".join(traceback.format_exception_only(error)).replace(packages, "site-packages")
    return "\n".join([*_once_repeated(frames), words.rstrip("\n")])


def _once_repeated(frames: list[str]) -> list[str]:
    """A frame that comes more than SHOWN times in a row is shown so often, and counted, as Python's tracebacks do."""
    lines: list[str] = []
    for frame, group in groupby(frames):
        count = len(list(group))
        lines += [frame] * min(count, SHOWN)
        if count > SHOWN:
            lines.append(f"  [Previous line repeated {count - SHOWN} more times]")
    return lines


def _seed(seed: int) -> None:
    """The same seed draws the same random numbers in the same program."""
    random.seed(seed)
    if "sympy.core.random" in sys.modules:
        sys.modules["sympy.core.random"].seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
        # where a generator that is made without a seed, such as default_rng(), takes its entropy from
        sys.modules["numpy.random.bit_generator"].__dict__["randbits"] = random.Random(seed).getrandbits


def _say(message: dict[str, Any]) -> None:
    os.write(RESULTS, json.dumps(message).encode() + b"\n")
