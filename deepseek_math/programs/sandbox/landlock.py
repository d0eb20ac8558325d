"""Landlock: which files a process may touch, from here on and for good. No network, no signals to others.

Called through ctypes; the packages on the registry are young and these are three system calls. Source of the
constants: the kernel's uapi/linux/landlock.h. Version 1 came with Linux 5.13.
"""

import ctypes
import os
import struct
from collections.abc import Mapping
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on x86-64 and aarch64
VERSION_FLAG, PATH_BENEATH = 1, 1
WRITE_FILE, READ_FILE, READ_DIR, MAKE_REG, TRUNCATE = (1 << bit for bit in (1, 2, 3, 8, 14))
READ = READ_FILE | READ_DIR
# No folders, links or devices in it; and no removing, so that every file stays where its size is seen.
OWN_FOLDER = READ | WRITE_FILE | MAKE_REG | TRUNCATE
ON_A_FILE = WRITE_FILE | READ_FILE | TRUNCATE
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights on files each version knows
NET_RIGHTS = 0b11  # TCP bind and connect, from version 4 on
SCOPES = 0b11  # abstract Unix sockets and signals, from version 6 on


def version() -> int:
    """Landlock's version in this kernel. Raises OSError where there is none."""
    return _call(CREATE_RULESET, None, 0, VERSION_FLAG)


def restrict(rights: Mapping[Path, int]) -> None:
    """Takes every right on files from this process but `rights`, by path. Needs no_new_privs. Raises OSError."""
    abi = version()
    known = (1 << FS_RIGHTS.get(abi, 16)) - 1
    attributes = struct.pack("=Q", known)
    if abi >= 4:
        attributes += struct.pack("=Q", NET_RIGHTS)
    if abi >= 6:
        attributes += struct.pack("=Q", SCOPES)
    size = len(attributes)
    ruleset = _call(CREATE_RULESET, ctypes.create_string_buffer(attributes, size), size, 0)
    try:
        for path, allowed in rights.items():
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                possible = known if path.is_dir() else known & ON_A_FILE
                rule = struct.pack("=Qi", allowed & possible, parent)
                _call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
            finally:
                os.close(parent)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _call(number: int, *arguments: "int | ctypes.Array[ctypes.c_char] | None") -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(
        ctypes.c_long(number), *(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return int(result)
