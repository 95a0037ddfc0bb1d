"""Controls: what they generate, and that they keep the reference without loss."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from motionbench.methods.controls import BackboneOnly, Copy, Frozen, NoConfig, Reversed, SampleConfig
from stand_in import ENTRY, moving_square

from motionbench import registry
from motionbench.config import build_config
from motionbench.errors import StoreError
from motionbench.method import Method, Runtime

CLIP = moving_square(frames=7)
EXPECTED = {Copy: CLIP.frames, Frozen: CLIP.frames[[0] * 7], Reversed: CLIP.frames[::-1]}


@pytest.mark.parametrize("control", EXPECTED, ids=lambda c: c.name)
def test_pixel_controls_do_what_their_name_says(control, tmp_path):
    made = control.create(NoConfig(), Runtime(backbone="none such"))  # no backbone is loaded
    assert isinstance(made, Method)
    adapter = made.fit(CLIP, "a ball", seed=0)
    adapter.save(tmp_path / "a")
    for kept in (adapter, made.load_adapter(tmp_path / "a")):
        clip = made.generate(kept, "a star", seed=0)
        assert np.array_equal(clip.frames, EXPECTED[control])
        assert clip.fps == CLIP.fps
    assert control.contract.is_control
    assert not control.contract.uses_backbone


def test_the_backbone_alone_follows_prompt_and_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "load", lambda group, name: ENTRY)
    made = BackboneOnly.create(SampleConfig(sample_steps=2), Runtime(backbone="stand_in"))
    made.fit(CLIP, "a ball", seed=0).save(tmp_path / "a")
    adapter = made.load_adapter(tmp_path / "a")
    one, same, other = (made.generate(adapter, "a star", seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.frames, same.frames)
    assert not np.array_equal(one.frames, other.frames)
    assert not np.array_equal(one.frames, made.generate(adapter, "a tree", seed=1).frames)


def test_bad_folders_are_typed_errors(tmp_path):
    made = Copy.create(NoConfig(), Runtime())
    with pytest.raises(StoreError, match="cannot read"):
        made.load_adapter(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot write"):
        made.fit(CLIP, "", seed=0).save(tmp_path / "file" / "a")
    torch.manual_seed(0)
    BackboneOnly.fit(made, CLIP, "", seed=0).save(tmp_path / "empty")
    with pytest.raises(StoreError, match="another method"):
        made.generate(made.load_adapter(tmp_path / "empty"), "", seed=0)


def test_importing_the_controls_loads_no_torch():
    code = "import sys, motionbench.methods.controls; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(set(registry.names("methods")) - {"folder"}))
def test_every_method_is_made_without_a_configuration_by_the_preset_that_suits_the_backbone(name, monkeypatch):
    made = {}
    method = registry.load("methods", name)
    monkeypatch.setattr(method, "__init__", lambda self, config, *rest: made.update(config=config))
    monkeypatch.setattr(registry, "load", lambda group, _: ENTRY)
    method.create(None, Runtime(backbone="tiny"))
    assert made["config"] == build_config(method, backbone="tiny")
