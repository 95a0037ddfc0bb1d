"""Bars are drawn for a person at a terminal, and for nobody else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.minimums

WORK = """
import logging, time
from motionbench import progress
progress.PATIENCE_SECONDS = {patience}
logging.getLogger("motionbench").handlers = [progress.LogLines()]
logging.getLogger("motionbench").setLevel(logging.INFO)
with progress.Bars("spreading") as bars:
    bars.planned(2, 0)
    for case in range(2):
        bars.stage("temporal", 3, 10)
        time.sleep(0.05)
        logging.getLogger("motionbench.runner").info("case %d: ok", case)
        logging.getLogger("motionbench.runner").warning("[bold]hot[/]")
        bars.finished(None)
print("result")
"""


def run_at_a_terminal(code: str) -> str:
    """What a person would have seen, control sequences and all."""
    import pty

    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writer, stderr=writer, env=environment)
    os.close(writer)
    seen = bytearray()
    while True:
        try:
            data = os.read(reader, 4096)
        except OSError:  # the other end has gone
            break
        if not data:
            break
        seen += data
    os.close(reader)
    assert process.wait() == 0
    return seen.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_terminal_shows_cases_and_the_stage_at_work() -> None:
    text = run_at_a_terminal(WORK.format(patience=-1))
    for word in ("spreading", "temporal", "3/10", "2/2", "case 1: ok", "warning: [bold]hot[/]", "result"):
        assert word in text


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_short_work_shows_no_bar() -> None:
    text = run_at_a_terminal(WORK.format(patience=60))
    assert "spreading" not in text
    assert "case 1: ok" in text


def test_pipe_gets_log_lines_and_no_bar() -> None:
    command = [sys.executable, "-c", WORK.format(patience=-1)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "result\n"
    assert done.stderr == "case 0: ok\nwarning: [bold]hot[/]\ncase 1: ok\nwarning: [bold]hot[/]\n"
