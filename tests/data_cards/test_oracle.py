"""The oracle: the true motion with other content, or a clear refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.data_cards.oracle import Oracle, OracleConfig
from motionbench.data_cards.world.procedural import ProceduralWorld

from motionbench.clip import Clip
from motionbench.errors import MissingInputError, StoreError
from motionbench.method import Method, Runtime
from motionbench.split import read_split


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle.create(OracleConfig(decoded=False), Runtime())


def test_the_oracle_is_a_control_that_asks_for_the_truth(oracle: Oracle) -> None:
    assert isinstance(oracle, Method)
    assert oracle.contract.is_control
    assert oracle.contract.extra_inputs == ("truth",)


@pytest.mark.parametrize("index", range(4))
def test_it_renders_what_the_world_renders(oracle: Oracle, index: int) -> None:
    split = read_split("mini")
    case = split.cases[index]
    adapter = oracle.fit(split.read_reference(case), case.caption, seed=0)
    clip = oracle.generate(adapter, case.prompt, seed=1)
    expected, tracks = ProceduralWorld().rerender(split.reference_path(case), case.prompt)
    assert np.array_equal(clip.frames, expected.frames)
    assert clip.fps == 8.0
    assert tracks.points.shape == (400, 17, 2)


def test_an_adapter_survives_its_folder(oracle: Oracle, tmp_path: Path) -> None:
    split = read_split("mini")
    for case in split.cases:
        adapter = oracle.fit(split.read_reference(case), case.caption, seed=0)
        adapter.save(tmp_path / case.category)
        again = oracle.load_adapter(tmp_path / case.category)
        assert again.truth.subjects == adapter.truth.subjects
        assert all(np.array_equal(again.truth.motion[key], value) for key, value in adapter.truth.motion.items())
    with pytest.raises(StoreError, match="adapter"):
        oracle.load_adapter(tmp_path / "nowhere")


def test_no_truth_is_a_clear_error(oracle: Oracle, tmp_path: Path) -> None:
    frames = np.zeros((17, 64, 64, 3), np.uint8)
    with pytest.raises(MissingInputError, match="ground truth"):
        oracle.fit(Clip(frames, 8.0), "a red ball", seed=0)
    with pytest.raises(MissingInputError, match="ground truth"):
        oracle.fit(Clip(frames, 8.0, tmp_path / "own.mp4"), "a red ball", seed=0)


def test_decoded_clips_pass_through_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Darkening:
        """Stands in for a backbone: its autoencoder halves every pixel."""

        def __init__(self, runtime: Runtime) -> None:
            self.runtime = runtime

        def prepare(self, clip: Clip) -> Clip:
            return clip

        def encode(self, clip: Clip) -> Any:
            return clip.frames // 2

        def decode(self, latents: Any) -> Clip:
            return Clip(latents, 8.0)

    monkeypatch.setattr("motionbench.data_cards.oracle.make_backbone", Darkening)
    split = read_split("mini")
    case = split.cases[0]
    made = [Oracle.create(OracleConfig(decoded=flag), Runtime()) for flag in (False, True)]
    plain, dark = (o.generate(o.fit(split.read_reference(case), "", seed=0), case.prompt, seed=0) for o in made)
    assert np.array_equal(dark.frames, plain.frames // 2)
