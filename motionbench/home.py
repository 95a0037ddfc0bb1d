"""A home for users without one: containers often run under a number that has neither $HOME nor a line in passwd."""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


def ensure_home() -> None:
    """Sets $HOME and $USER where nothing tells them, before libraries are imported that fail without."""
    os.environ.setdefault("HOME", str(home()))
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user{os.getuid()}"


@cache
def home() -> Path:
    """The user's home; for a user without one a folder of this process's own, which ends with it.

    Not a fixed name in the folder for temporary files: others can guess it, and put there what we would read.
    """
    folder = os.path.expanduser("~")  # unlike Path.home it does not raise
    if folder != "~":
        return Path(folder)
    made = tempfile.mkdtemp(prefix="motionbench-home-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
