"""Memory presets by name: what `--gpu-memory` takes, which one suits a card, and which one to try after running out."""

from __future__ import annotations

PRESETS = ("80", "60", "40", "24")  # gigabytes of device memory that each is made for, most first
CHOICES = ("auto", "none", *PRESETS)


def choose_preset(total_bytes: int) -> str:
    """The largest preset that a card of this memory holds; the smallest for cards below all."""
    # A card of 80 GB shows 79 GiB, 85e9 bytes, or 75 GiB if part is reserved; one of 24 GB shows 23.6 GiB.
    return next((name for name in PRESETS if total_bytes >= 0.95e9 * int(name)), PRESETS[-1])


def next_preset(used: str, total_bytes: int | None) -> str | None:
    """The preset that needs less than the one used and fits the card; None if there is none."""
    if total_bytes is None:
        return None
    largest = choose_preset(total_bytes)
    if used == "none":
        return largest
    given = largest if used == "auto" else used
    return next((name for name in PRESETS if int(name) < int(given) and int(name) <= int(largest)), None)
