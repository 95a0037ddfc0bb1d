"""Addresses on the Hub (`owner/name@revision`) and paths that may be written below a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from motionbench.errors import ConfigError

OWNER_AND_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")
DEFAULT_REVISION = "main"


@dataclass(frozen=True)
class Address:
    """A dataset repository on the Hub, and a branch, tag or commit of it."""

    repo: str
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"


def parse_address(text: str) -> Address:
    """The address in `owner/name` or `owner/name@revision`. Raises ConfigError."""
    repo, at, revision = text.partition("@")
    if not OWNER_AND_NAME.fullmatch(repo):
        raise ConfigError(f"expected a repository such as owner/name, got {text!r}; see your own with: hf auth whoami")
    if at and not REVISION.fullmatch(revision):
        raise ConfigError(f"expected owner/name@REVISION (a branch, tag or commit), got {text!r}")
    return Address(repo, revision or DEFAULT_REVISION)


def is_inside(path: str) -> bool:
    """Whether a path from elsewhere stays below the folder it is joined to, on any system."""
    parts = PurePosixPath(path).parts
    outside = not path or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path
    return not outside and ":" not in parts[0]
