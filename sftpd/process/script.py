"""Python scripts that ask for nothing but Python's own library, run in a fork that has it loaded.

Starting an interpreter takes most of the time of a short script. Its first line says that it can do without
one of its own: isolated (`-I`) and without installed packages (`-S`), it finds the same here.
"""

import fnmatch  # noqa: F401  (the zygote loads it once for all scripts; those we ship need it)
import json  # noqa: F401  (likewise)
import os
import runpy
import sys
import sysconfig
import traceback
import zipfile  # noqa: F401  (likewise)
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST_LINE = b"#!/usr/bin/env -S python3 -I -S\n"

_LIBRARY = [sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")]


def is_self_contained(program: str) -> bool:
    """Whether a program is a script with that first line; False also where it cannot be read."""
    try:
        with Path(program).open("rb") as file:
            return file.readline(len(FIRST_LINE)) == FIRST_LINE
    except OSError:
        return False


def interpret(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Be the interpreter of the script `argv[0]`; an exception ends it as there, with status 1."""
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = argv
    sys.path[:] = _LIBRARY
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        raise
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None
