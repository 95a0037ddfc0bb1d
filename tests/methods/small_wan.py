"""Small Wan folders of random weights: the real classes at toy size, and what tests do to them."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from motionbench.methods.backbones.random_weights import save_random_wan
from motionbench.methods.backbones.tensor_cache import TensorCache
from motionbench.methods.backbones.wan_backbone import WanBackbone
from motionbench.methods.backbones.wan_models import WAN_1_3B
from motionbench.methods.backbones.wan_weights import check_weights

from motionbench.clip import Clip


@cache
def small_folder() -> Path:
    """A folder of random weights, written once a session; copy it before changing it."""
    return save_random_wan(Path(mkdtemp(prefix="small-wan-")) / WAN_1_3B.name, WAN_1_3B, scale="small")


def copied(target: Path) -> Path:
    """A copy that a test may damage, without the mark that lets small shapes pass for the model."""
    shutil.copytree(small_folder(), target)
    return target


def posing_as(target: Path, **config: object) -> Path:
    """A copy whose transformer claims the real model's configuration, but for what is given."""
    copied(target)
    (target / "random.json").unlink()
    path = target / "transformer" / "config.json"
    facts = json.loads(path.read_text()) | WAN_1_3B.transformer_config() | config
    path.write_text(json.dumps(facts))
    return target


def small_backbone(cache_folder: Path, dtype: str = "float32") -> WanBackbone:
    """The small model on the CPU, with a cache of its own."""
    weights = check_weights(small_folder(), WAN_1_3B)
    return WanBackbone(WAN_1_3B, weights, device="cpu", dtype=dtype, cache=TensorCache(cache_folder))


def moving_clip(frames: int = 17, size: int = 64) -> Clip:
    """A bright square that moves right over noise."""
    pixels = np.random.default_rng(0).integers(0, 60, (frames, size, size, 3), dtype=np.uint8)
    for i in range(frames):
        x = i * (size - 16) // frames
        pixels[i, 20:36, x : x + 16] = (250, 200, 40)
    return Clip(pixels, 16.0)
