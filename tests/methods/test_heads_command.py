"""`motionbench heads` and the picture of the head map."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from motionbench.methods.followyourmotion.heads import HeadScores
from motionbench.methods.followyourmotion.picture import CELL, MARGIN, TEMPORAL, draw_heads, head_ratio, write_heads
from stand_in import ENTRY, moving_square
from typer.testing import CliRunner

from motionbench import registry
from motionbench.cli import app
from motionbench.errors import ConfigError, StoreError


@pytest.fixture
def reference(tmp_path, monkeypatch):
    own = registry.load
    monkeypatch.setattr(registry, "load", lambda g, n: ENTRY if g == "backbones" else own(g, n))
    moving_square(9, 16).write(tmp_path / "square.mp4")
    return str(tmp_path / "square.mp4")


def call(*arguments):
    return CliRunner().invoke(app, ["heads", *map(str, arguments)])


def test_it_prints_scores_as_json_and_draws_a_picture(reference, tmp_path):
    result = call("--reference", reference, "--caption", "a square", "--json", "--out", tmp_path / "h.png")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    scores = HeadScores.from_json(answer["scores"])
    assert scores.spatial.shape == (2, 4)
    assert answer["temporal"] == scores.is_temporal("paper", alpha=1.25).tolist()
    shares = list(answer["temporal_share_by_alpha"].values())
    assert shares == sorted(shares)
    assert cv2.imread(str(tmp_path / "h.png")).shape[0] == MARGIN + 2 * CELL + 10
    assert (
        json.loads(call("--reference", reference, "--caption", "a square", "--json").stdout)["scores"]
        == (answer["scores"])
    )


def test_it_prints_a_map_and_averages_over_references(reference):
    one = call("--reference", reference, "--set", "head_rule=released")
    assert one.stdout.splitlines()[0].startswith("layer  0  ")
    assert "by rule released" in one.stdout
    assert call("--reference", reference, "--reference", reference).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.gif"], ".png or .html"),
        (["--caption", "a", "--caption", "b"], "1 --reference but 2 --caption"),
        (["--set", "alpha=1"], "unknown key 'alpha'"),
    ],
)
def test_wrong_use_exits_with_2_and_says_why(reference, arguments, message):
    result = call("--reference", reference, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_the_picture_colors_a_strongly_temporal_head_blue(tmp_path):
    ratio = head_ratio(np.array([[0.01, 0.5]]), np.array([[0.9, 0.5]]), boundary=1.0)
    assert ratio.tolist() == [[-3, 0]]
    picture = draw_heads(ratio, ratio < 0, "t")
    assert tuple(picture[MARGIN + 2, MARGIN + 2]) == TEMPORAL
    assert picture[MARGIN + 2, MARGIN + CELL + 2].min() > 230
    write_heads(tmp_path / "h.html", ratio, ratio < 0, "heads of a model")
    page = (tmp_path / "h.html").read_text()
    assert "heads of a model" in page
    assert "https://cdn" not in page.split("plotly.js v")[0]
    with pytest.raises(ConfigError, match="png"):
        write_heads(tmp_path / "h.gif", ratio, ratio < 0, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        write_heads(tmp_path / "file" / "h.png", ratio, ratio < 0, "")


def test_importing_the_command_loads_no_torch():
    module = "motionbench.methods.followyourmotion.heads_command"
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'cv2'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
