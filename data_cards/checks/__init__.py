"""Checks of a split: every promise of its manifest against its files, and against what moves in them."""

from .check import check_split, inspect_split
from .finding import Finding, Severity, group_findings

__all__ = ["Finding", "Severity", "check_split", "group_findings", "inspect_split"]
