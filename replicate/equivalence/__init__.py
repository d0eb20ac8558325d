r"""Whether two answers are the same: `\frac12` is `0.5`, `[0,1)` is not `(0,1]`, `5 cm` is `5` and is not `5 m`.

    >>> await equivalent(r"\frac{1}{2}", "0.5")
    True

math-verify decides about expressions, our rules about everything around them (equivalence/structure.py). An answer may
be built to hang algebra (9^{9^{9^9}}), so it happens in worker processes: two work, one waits with its imports done.
A comparison that takes over two seconds costs its worker's life and is "not equal"; so is one that crashes or cannot
be read. The reason is logged, nothing is raised.

Equality is reflexive and symmetric (the pair is sorted first), not transitive: `5 cm` and `5 m` are both `5`.
Answers over MAX_LENGTH characters are equal only as text. Does not cover: how much the reader would have rounded.
"""

import asyncio

from replicate.equivalence.judging import Judge

__all__ = ["Judge", "equivalent", "judge"]

_judges: dict[asyncio.AbstractEventLoop, Judge] = {}


def judge() -> Judge:
    """The judge of the running event loop; `await judge().start()` at setup so that nobody waits for its imports."""
    for loop in [loop for loop in _judges if loop.is_closed()]:
        del _judges[loop]  # its pipes close with it, and its workers end when their input does
    loop = asyncio.get_running_loop()
    if loop not in _judges:
        _judges[loop] = Judge()
    return _judges[loop]


async def equivalent(a: str, b: str) -> bool:
    """Whether two answers are the same to a mathematician; see the module for what that means. Never raises."""
    return await judge().equivalent(a, b)
