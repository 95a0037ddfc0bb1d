"""Paths of a machine taken out of texts: what is published must not tell whose home folder it came from."""

from __future__ import annotations

import re
from typing import Any

# An absolute path with two parts or more; relative paths and addresses (https://host/a/b) are left as they are.
ABSOLUTE = re.compile(r"(?<![\w.:/…-])~?/(?:[^\s/'\"`<>|:,;()\[\]{}]+/)+(?=[^\s/])")


def without_paths(value: Any) -> Any:
    """The same text, list or object, with every absolute path in it cut to its last part: `…/name`."""
    if isinstance(value, str):
        return ABSOLUTE.sub("…/", value)
    if isinstance(value, list | tuple):
        return [without_paths(part) for part in value]
    if isinstance(value, dict):
        return {key: without_paths(part) for key, part in value.items()}
    return value
