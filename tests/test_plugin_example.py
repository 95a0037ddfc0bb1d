"""The example plugin, installed as a user would and run from outside: its entry points are all that joins it to us."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples/plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example, without network; sources are copied to leave nothing."""
    folder = tmp_path_factory.mktemp("plugin")
    sources = shutil.copytree(EXAMPLE, folder / "sources")
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    words = [sys.executable, "-m", "pip", *install, "--target", str(folder / "site"), str(sources)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def motionbench(site: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    paths = [str(site)] if site is not None else []
    paths += [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-m", "motionbench", *words], capture_output=True, text=True, check=False, env=environment
    )


def listed(site: Path | None, what: str) -> dict[str, dict[str, Any]]:
    done = motionbench(site, "list", what, "--json")
    assert done.returncode == 0, done.stderr
    return {line["name"]: line for line in json.loads(done.stdout)}


def test_installed_it_is_listed_with_its_gate_and_removed_it_is_gone(site: Path) -> None:
    methods, metrics = listed(site, "methods"), listed(site, "metrics")
    assert methods["sdedit"]["summary"].startswith("Sampling from the noised reference")
    assert methods["sdedit"]["gate"]["state"] in ("passed", "unvalidated")
    assert metrics["pixel_change"]["summary"].startswith("How much the pixels change")
    assert "sdedit" not in listed(None, "methods")
    assert set(methods) - set(listed(None, "methods")) == {"sdedit"}


def test_the_main_job_runs_its_method_and_its_metric(site: Path, tmp_path: Path) -> None:
    words = ["--category", "single_object", "--limit", "1", "--device", "cpu", "--set", "steps=2"]
    metrics = ["--metrics", "pixel_change,text_alignment", "--controls", "frozen", "--tracker", "lk"]
    out = tmp_path / "results"
    done = motionbench(site, "eval", "--method", "sdedit", *words, *metrics, "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    rows = {(row["metric"], row["category"]): row for row in summary["rows"]}
    assert rows["pixel_change", "all"]["n"] == 1
    assert abs(rows["pixel_change", "all"]["mean"]) < 4
    assert (
        rows["pixel_change", "all"]["floor"] > rows["pixel_change", "all"]["mean"]
    )  # a frozen clip is farthest from 0
    assert rows["text_alignment", "all"]["n"] == 1
    run = json.loads((out / "run.json").read_text())["configuration"]
    assert run["config"] == {"strength": 0.8, "steps": 2, "guidance": None}
    assert [path.name for path in out.glob("adapters/*/*/*.safetensors")] == ["latents.safetensors"]


@pytest.mark.slow  # 20 s; the main job above runs the same method
def test_a_start_from_little_noise_keeps_the_reference_and_equal_seeds_give_equal_clips(site: Path) -> None:
    code = """
import numpy as np
from motionbench import registry
from motionbench.method import Runtime
from motionbench.split import read_split
split = read_split("mini")
case = next(case for case in split.cases if case.category == "single_object")
reference = split.read_reference(case)
method = registry.load("methods", "sdedit")
def clip(**config):
    made = method.create(method.Config(steps=3, **config), Runtime())
    return made.generate(made.fit(reference, case.caption, seed=0), case.prompt, seed=0).frames.astype(float)
near, again, far = clip(strength=0.05), clip(strength=0.05), clip(strength=1.0)
assert (near == again).all()
gap = lambda frames: np.abs(frames - reference.frames).mean()
print(gap(near), gap(far))
assert gap(near) < 8 < gap(far)
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("setting", ["strength=0", "strenght=0.5"])
def test_its_own_checks_and_a_misspelled_setting_are_wrong_use(site: Path, tmp_path: Path, setting: str) -> None:
    done = motionbench(site, "run", "--method", "sdedit", "--set", setting, "--out", str(tmp_path / "r"))
    assert done.returncode == 2
    assert setting.partition("=")[0] in done.stderr
    assert not (tmp_path / "r").exists()


def test_the_metric_is_zero_for_the_reference_and_null_for_a_still_one(site: Path) -> None:
    code = """
import numpy as np
from types import SimpleNamespace
from motionbench_example.pixel_change import PixelChange
from motionbench.clip import Clip
noise = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
half = (noise // 2)
still = np.repeat(noise[:1], 5, axis=0)
def value(generated, reference):
    sample = SimpleNamespace(generated=Clip(generated, 8), reference=Clip(reference, 8))
    return PixelChange.create(None).measure(sample)
assert value(noise, noise).value == 0
assert abs(value(half, noise).value + 1) < 0.02
assert value(still, noise).value < -6
assert value(noise, still).value is None and value(noise, still).note == "static reference"
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
