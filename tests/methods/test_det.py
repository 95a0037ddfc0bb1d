"""DeT: the kernel and the tracking loss against plain numpy, what is trained, and what is left alone."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from motionbench.methods.det import method as det_method
from motionbench.methods.det.kernel import TemporalKernel, temporal_kernels
from motionbench.methods.det.losses import features_at, tracking_loss
from motionbench.methods.det.method import Det
from motionbench.methods.det.tracking import LatentTracks, to_latent_grid, track_latents
from motionbench.methods.taps.token_grid import TokenGrid
from stand_in import StandIn, moving_square
from torch import nn

from motionbench import registry
from motionbench.config import build_config
from motionbench.errors import ConfigError, MissingInputError, NotFiniteError, UnknownNameError
from motionbench.method import Method, Runtime
from motionbench.tracks import Tracks

CLIP = moving_square()
QUICK = {"steps": 2, "bottleneck": 3, "lr": 1e-2}


def make(backbone=None, **changes):
    return Det(Det.Config(**(QUICK | changes)), Runtime(backbone="stand_in"), backbone or StandIn())


def plain_kernel(kernel, hidden, grid):
    """The kernel by loops over every place, frame and tap."""
    frames, height, width = grid
    down, shift = (p.detach().numpy() for p in (kernel.down.weight, kernel.down.bias))
    up, lift = (p.detach().numpy() for p in (kernel.up.weight[:, :, 0], kernel.up.bias))
    out = np.zeros_like(hidden)
    for b in range(len(hidden)):
        for place in range(height * width):
            series = hidden[b, place :: height * width]  # (F, d): frame-major tokens
            for f in range(frames):
                inner = shift.copy()
                for tap in range(down.shape[2]):
                    source = f + tap - down.shape[2] // 2
                    if 0 <= source < frames:
                        inner = inner + down[:, :, tap] @ series[source]
                gelu = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in inner])
                out[b, f * height * width + place] = up @ gelu + lift
    return out


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_the_kernel_equals_plain_loops_over_places_frames_and_taps(frames):
    kernel, generator = TemporalKernel(4, 3, frames), torch.Generator().manual_seed(0)
    kernel.draw(generator)
    with torch.no_grad():
        for parameter in kernel.up.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    hidden = torch.randn(2, 5 * 2 * 3, 4, generator=generator)
    expected = plain_kernel(kernel, hidden.numpy(), (5, 2, 3))
    assert np.allclose(kernel(hidden, TokenGrid(5, 2, 3)).detach().numpy(), expected, atol=1e-5)  # float32


def test_untrained_kernels_change_nothing_and_trained_ones_add_to_the_attention():
    backbone = StandIn()
    x, t, text = torch.randn(2, 4, 3, 4, 4), torch.tensor([0.5, 0.9]), backbone.encode_text(["a", "b"])
    plain = backbone.velocity(x, t, text)
    attention = backbone.transformer.blocks[0].attn1
    seen = []
    watch = attention.register_forward_hook(lambda m, i, o: seen.append((i[0], o)))
    with temporal_kernels(backbone.transformer, 3, 3) as kernels:
        for kernel in kernels:
            kernel.draw(torch.Generator().manual_seed(0))
        assert (backbone.velocity(x, t, text) - plain).abs().max() < 1e-6
        nn.init.normal_(kernels[0].up.weight)
        changed = backbone.velocity(x, t, text)
        added = []
        after = attention.register_forward_hook(lambda m, i, o: added.append(o - kernels[0](i[0], TokenGrid(3, 2, 2))))
        backbone.velocity(x, t, text)
        after.remove()
        assert torch.allclose(added[0], seen[-1][1], atol=1e-6)  # the attention's own output, and the kernel beside it
    watch.remove()
    assert not attention._forward_hooks
    assert (changed - plain).abs().max() > 1e-3
    assert torch.equal(backbone.velocity(x, t, text), plain)


def plain_bilinear(image, x, y):
    """Bilinear value of image (C, h, w) at x, y in cells; the border's value outside."""
    height, width = image.shape[1:]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    i, j = min(int(y), height - 2), min(int(x), width - 2)
    dy, dx = y - i, x - j
    top = (1 - dx) * image[:, i, j] + dx * image[:, i, j + 1]
    return (1 - dy) * top + dy * ((1 - dx) * image[:, i + 1, j] + dx * image[:, i + 1, j + 1])


def plain_tracking(clean, points, visible):
    total, count = 0.0, 0
    for n in range(len(points)):
        for f in range(points.shape[1] - 1):
            if visible[n, f] and visible[n, f + 1]:
                a, b = (plain_bilinear(clean[0, :, g], *points[n, g]) for g in (f, f + 1))
                total += ((b - a) ** 2).mean()
                count += 1
    return total / max(1, count)


def random_tracks(seed=0, n=6, frames=4):
    g = torch.Generator().manual_seed(seed)
    clean = torch.randn(1, 3, frames, 4, 5, generator=g, dtype=torch.float64)
    points = torch.rand(n, frames, 2, generator=g, dtype=torch.float64) * torch.tensor([5.5, 4.5]) - 0.75
    return clean, points, torch.rand(n, frames, generator=g) < 0.7


def test_features_and_the_tracking_loss_equal_plain_numpy():
    clean, points, visible = random_tracks()
    found = features_at(clean, points).numpy()
    for n, f in np.ndindex(*points.shape[:2]):
        assert np.allclose(found[n, f], plain_bilinear(clean[0, :, f].numpy(), *points[n, f].tolist()), atol=1e-9)
    expected = plain_tracking(clean.numpy(), points.numpy(), visible.numpy())
    assert tracking_loss(clean, points, visible).item() == pytest.approx(expected, rel=1e-9)
    assert tracking_loss(clean, points, torch.zeros_like(visible)) == 0


def test_the_tracking_loss_is_zero_where_features_follow_their_tracks_and_its_gradient_is_right():
    frames = 4
    clean = torch.zeros(1, 2, frames, 4, 6, dtype=torch.float64)
    for f in range(frames):
        clean[0, :, f, 1, f + 1] = 5.0  # a spot that moves a cell a frame
    along = torch.tensor([[f + 1.0, 1.0] for f in range(frames)], dtype=torch.float64)[None]
    seen = torch.ones(1, frames, dtype=torch.bool)
    assert tracking_loss(clean, along, seen) == 0
    assert tracking_loss(clean, along[:, :1].expand(1, frames, 2), seen) > 1
    clean, points, visible = random_tracks(1)
    assert torch.autograd.gradcheck(lambda x: tracking_loss(x, points, visible), clean.requires_grad_(True))


def test_the_loss_adds_tracking_of_the_predicted_clip_at_small_times_only():
    made = make(tracking_loss=True, tracking_weight=2.0, tracking_time_max=0.4)
    g = torch.Generator().manual_seed(0)
    predicted, target, x = torch.randn(3, 1, 4, 9, 4, 4, generator=g)
    tracks = LatentTracks(torch.rand(5, 9, 2, generator=g) * 3, torch.ones(5, 9, dtype=torch.bool))
    mse = (predicted - target).square().mean()
    assert [made.follows_tracks(torch.tensor([t])) for t in (0.5, 0.3)] == [False, True]
    assert not make(tracking_time_max=0.4).follows_tracks(torch.tensor([0.3]))
    assert made.loss(predicted, target, x, torch.tensor([0.3]), None) == mse
    expected = plain_tracking((x - 0.3 * predicted).numpy(), tracks.points.numpy(), tracks.visible.numpy())
    found = made.loss(predicted, target, x, torch.tensor([0.3]), tracks) - mse
    assert found.item() == pytest.approx(2 * expected, rel=1e-4)


def test_tracks_in_pixels_become_tracks_in_cells_of_the_last_frame_of_each_latent():
    points = np.zeros((1, 9, 2), np.float32)
    points[0, :, 0] = np.arange(9) * 8.0 - 0.5  # left edge of pixel 8 f: cell 2 f - 1/2 of 4 pixels each
    points[0, :, 1] = 5.5  # the middle of rows 4 ... 7: cell 1
    tracks = Tracks(points, np.ones((1, 9), bool), 32, 64)
    latents = torch.zeros(1, 4, 3, 8, 16)  # frames 0, 4 and 8
    found = to_latent_grid(tracks, latents)
    assert found.points[0].tolist() == [[-0.5, 1.0], [7.5, 1.0], [15.5, 1.0]]
    assert found.visible.tolist() == [[True, True, True]]
    outside = Tracks(points + 1, tracks.visible, 32, 64)
    assert to_latent_grid(outside, latents).visible.tolist() == [[True, True, False]]


class BlindTracker:
    name, version = "blind", 1

    @classmethod
    def create(cls, device):
        return cls()

    def track(self, clip, queries):
        points = np.repeat(queries[:, None], len(clip), 1)
        return Tracks(points, np.arange(len(clip))[None].repeat(len(queries), 0) == 0, clip.height, clip.width)


def test_without_tracks_the_tracking_loss_is_refused_by_the_inputs_name(monkeypatch):
    latents = StandIn().encode(CLIP)
    with pytest.raises(UnknownNameError, match="nobody"):
        track_latents(CLIP, latents, "nobody", 3, "cpu")
    monkeypatch.setattr(registry, "load", lambda group, name: BlindTracker)
    with pytest.raises(MissingInputError, match="needs the input tracks: tracker blind"):
        make(tracking_loss=True, tracker="blind").fit(CLIP, "a ball", seed=0)


def test_the_switch_brings_tracks_into_the_fit(monkeypatch):
    asked = []
    tracks = LatentTracks(torch.rand(5, 9, 2) * 3, torch.ones(5, 9, dtype=torch.bool))
    monkeypatch.setattr(det_method, "track_latents", lambda *a: asked.append(a[2:]) or tracks)
    plain = make().fit(CLIP, "a ball", seed=0)
    assert not asked
    tracked = make(tracking_loss=True, tracking_weight=50.0, tracking_time_max=1.0).fit(CLIP, "a ball", seed=0)
    assert asked == [("tiny", 10, "cpu")]
    assert not torch.equal(plain.weights["0.up.weight"], tracked.weights["0.up.weight"])


def test_it_is_a_method_with_an_honest_contract_and_presets_of_real_fields():
    made = make()
    assert isinstance(made, Method)
    assert (Det.contract.trains, Det.contract.start_latent, Det.contract.sees_reference) == (True, "noise", False)
    assert "unvalidated" not in inspect.getdoc(Det)  # methods/gate.json says it
    assert registry.load("methods", "det") is Det
    official = build_config(Det, backbone="wan2.1-1.3b")
    assert (official.steps, official.lr, official.bottleneck, official.kernel_frames) == (500, 1e-5, 128, 3)
    assert official.schedule("train", 5).betas == (0.9, 0.95)
    assert not official.tracking_loss
    tracked = build_config(Det, backbone="tiny", preset="tracked")
    assert (tracked.tracking_loss, tracked.tracking_weight, tracked.tracking_time_max) == (True, 0.1, 0.4)
    assert tracked.tracker == "real"  # `tiny` sees little in the footage that the paper's preset is for
    assert build_config(Det, backbone="tiny").steps <= 180


@pytest.mark.parametrize(
    "wrong", [{"kernel_frames": 2}, {"bottleneck": 0}, {"beta2": 1.0}, {"lr": 0.0}, {"tracking_time_max": 2.0}]
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Det.Config(**wrong)


def test_fit_is_deterministic_trains_kernels_only_and_its_adapter_survives_the_disk(tmp_path):
    backbone = StandIn()
    before = {name: p.clone() for name, p in backbone.transformer.named_parameters()}
    made = make(backbone)
    adapter = made.fit(CLIP, "a ball", seed=1)
    torch.manual_seed(99)
    again = made.fit(CLIP, "a ball", seed=1)
    other = made.fit(CLIP, "a ball", seed=2)
    after = dict(backbone.transformer.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) and not after[name].requires_grad for name in before)
    assert adapter.weights.keys() == {
        f"{i}.{p}.{q}" for i in (0, 1) for p in ("down", "up") for q in ("weight", "bias")
    }
    assert all(torch.equal(adapter.weights[key], again.weights[key]) for key in adapter.weights)
    assert not torch.equal(adapter.weights["0.down.weight"], other.weights["0.down.weight"])
    assert all(adapter.weights[f"{i}.up.weight"].abs().max() > 0 for i in (0, 1))  # has left zero
    assert adapter.start is None
    clip = made.generate(adapter, "a star", seed=2)
    adapter.save(tmp_path / "a")
    assert {f.suffix for f in (tmp_path / "a").iterdir()} == {".json", ".safetensors"}
    wider = make(backbone, bottleneck=5)  # the adapter knows its own shape
    assert np.array_equal(wider.generate(wider.load_adapter(tmp_path / "a"), "a star", seed=2).frames, clip.frames)


def test_a_loss_that_is_not_finite_is_a_typed_error_and_leaves_the_backbone_usable():
    backbone = StandIn()
    with pytest.raises(NotFiniteError, match=r"lower lr \(1e\+20\)"):
        make(backbone, lr=1e20, max_grad_norm=0.0, weight_decay=0.0, steps=3).fit(CLIP, "a ball", seed=0)
    assert not any(block.attn1._forward_hooks for block in backbone.transformer.blocks)
    assert not backbone.transformer._forward_pre_hooks


def test_what_it_needs_is_asked_for_by_name():
    with pytest.raises(MissingInputError, match="det needs the input caption"):
        make().fit(CLIP, " ", seed=0)
    backbone = StandIn()
    backbone.transformer = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"det cannot run on backbone stand_in.*Linear.*runs on tiny, wan2\.1-1\.3b"):
        make(backbone)
