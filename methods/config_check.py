"""The check that configurations make of their fields."""

from __future__ import annotations

from motionbench.errors import ConfigError


def require(ok: bool, name: str, expected: str, value: object) -> None:
    """Raises ConfigError naming the field unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")
