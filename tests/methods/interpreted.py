"""Triton kernels on a machine without a GPU: what Triton's interpreter makes of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def interpreted(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own: the interpreter is chosen when kernels are defined. Skips without Triton."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
