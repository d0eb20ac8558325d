"""Runs a model's programs where they can reach nothing: Landlock, seccomp and resource limits, in one process each.

    >>> async with sandboxes.open(seed=0) as sandbox:
    ...     await sandbox.run("x = 2")
    ...     (await sandbox.run("print(x + 3)")).printed
    '5\\n'

Needs no privilege and no namespace, so it works in a plain container. A program has one process and one thread, no
network, no file but those of Python and of its own temporary folder, no signal but to itself, an empty environment and
the bounds of `limits.py`. Everything is taken away before the program is read (confine.py). Does not cover: what the
kernel itself gets wrong, time as a channel, and whether a path exists, which `stat` tells.
"""
