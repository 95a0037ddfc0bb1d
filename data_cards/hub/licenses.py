"""Licenses: which ones the Hub knows, and which let a clip be passed on."""

from __future__ import annotations

# SPDX identifiers in lower case are the Hub's own names for these.
OPEN = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "odc-by", "pddl",
)  # fmt: skip
KNOWN = (
    *OPEN, "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "odbl", "gpl-3.0", "unknown", "other",
)  # fmt: skip


def hub_license(license: str) -> str:
    """The Hub's identifier of a license as a manifest writes it; `other` if the Hub has none."""
    word = license.strip().lower().split(" ")[0]
    return word if word in KNOWN else "other"


def may_pass_on(license: str) -> bool:
    """Whether a clip under this license may be put on the Hub by anyone who names its source."""
    return license.strip().lower() in OPEN
