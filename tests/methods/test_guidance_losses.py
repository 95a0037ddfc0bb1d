"""The guided methods' losses against plain loops, their gradients against finite differences, known bugs absent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.methods.flowmotion.losses import difference_loss, flowmotion_loss, steered
from motionbench.methods.moft.losses import content_free, moft_loss, motion_channels
from motionbench.methods.smm.losses import smm_loss
from motionbench.methods.smm.start import low_frequencies, mixed_frequencies


def pair(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2)]


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


# --- FlowMotion


def numpy_difference_stack(x):
    """(P, C, h, w): |differences| of consecutive frames, then of every frame and every other; x is (C, F, h, w)."""
    frames = x.shape[1]
    stack = [np.abs(x[:, i + 1] - x[:, i]) for i in range(frames - 1)]
    stack += [np.abs(x[:, j] - x[:, i]) for i in range(frames) for j in range(frames) if i != j]
    return np.stack(stack)


@pytest.mark.parametrize("frames", [2, 3, 6])
def test_flowmotions_loss_equals_a_stack_of_differences_made_by_loops(frames):
    a, b = pair(1, 3, frames, 2, 4)
    stacks = [numpy_difference_stack(x[0].numpy()) for x in (a, b)]
    motion = ((stacks[0] - stacks[1]) ** 2).mean()
    assert difference_loss(a, b).item() == pytest.approx(motion, rel=1e-12)
    latent = ((a - b) ** 2).mean().item()
    loss = flowmotion_loss(a, b, latent_weight=20, motion_weight=5)
    assert loss.item() == pytest.approx(20 * latent + 5 * motion, rel=1e-12)
    assert flowmotion_loss(a, a, latent_weight=20, motion_weight=5) == 0


def test_flowmotions_motion_term_is_deaf_to_sign_and_still_offsets_as_described():
    a, _ = pair(1, 3, 5, 2, 2)
    assert difference_loss(-a, a).item() == pytest.approx(0, abs=1e-15)
    assert difference_loss(a + 7, a).item() == pytest.approx(0, abs=1e-15)
    assert difference_loss(a.flip(2), a) > 0.01  # a reversal moves the sizes to other pairs


@pytest.mark.parametrize("across", [0.0, 0.1, 1.0])
def test_the_steered_velocity_is_a_projection_over_channels_at_each_place(across):
    v, u = pair(1, 3, 4, 2, 2)
    got = steered(v, u, across)
    for f, y, x in np.ndindex(4, 2, 2):
        a, d = v[0, :, f, y, x].numpy(), u[0, :, f, y, x].numpy()
        along = (a @ d) / (d @ d) * d
        assert np.allclose(got[0, :, f, y, x].numpy(), along + across * (a - along))
    assert torch.allclose(steered(v, torch.zeros_like(u), across), across * v)


# --- SMM


def numpy_smm(a, b):
    """Means over anchors of 1 - the mean cosine over the other frames; a, b: (T, D)."""
    losses = []
    for i in range(len(a)):
        found = [cosine(a[j] - a[i], b[j] - b[i]) for j in range(len(a)) if j != i]
        losses.append(1 - np.mean(found))
    return np.mean(losses)


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_smm_equals_plain_loops_over_anchors_and_frames(frames):
    a, b = pair(1, frames, 5, seed=frames)
    assert smm_loss(a, b).item() == pytest.approx(numpy_smm(a[0].numpy(), b[0].numpy()), rel=1e-12)
    assert smm_loss(a, a).item() == pytest.approx(0, abs=1e-12)
    assert smm_loss(-a, a).item() == pytest.approx(2, rel=1e-12)


def test_smm_anchors_each_side_in_its_own_frame():
    """A shift of all generated means changes no difference; with the reference's anchor it would."""
    a, b = pair(1, 6, 5)
    shift = torch.tensor([10.0, -10.0, 10.0, -10.0, 10.0]).double()
    assert smm_loss(a + shift, b).item() == pytest.approx(smm_loss(a, b).item(), rel=1e-9)

    def anchored_in_the_reference(generated):
        return torch.cosine_similarity(generated[0, 1:] - b[0, 0], b[0, 1:] - b[0, 0], dim=-1).mean()

    assert abs(anchored_in_the_reference(a + shift) - anchored_in_the_reference(a)) > 0.05  # that bug would be seen


def test_smms_cosine_runs_over_channels_and_not_over_frames():
    """Scaling one frame's difference leaves cosines over channels alone; over frames it would change them."""
    means = torch.zeros(1, 3, 2, dtype=torch.float64)
    means[0, 1], means[0, 2] = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0])
    other = means * torch.tensor([1.0, 1.0]).double()
    other[0, 2] *= 5
    assert smm_loss(means, other).item() == pytest.approx(0, abs=1e-12)
    over_frames = torch.cosine_similarity(means[0, 1:] - means[0, 0], other[0, 1:] - other[0, 0], dim=0)
    assert (1 - over_frames[0]) > 0.005
    turned = torch.stack([-means[..., 0], means[..., 1]], -1)
    assert smm_loss(turned, means).item() == pytest.approx(2)


def test_a_reversed_clip_is_an_error_to_smm():
    walk = torch.cumsum(torch.randn(1, 8, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), 1)
    assert smm_loss(walk.flip(1), walk) > 0.5


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_mixed_frequencies_take_the_low_from_one_and_the_high_from_the_other(factor):
    a, b = pair(1, 2, 3, 8, 8)
    mixed = mixed_frequencies(a, b, factor)
    expected = low_frequencies(a, factor) + (b - low_frequencies(b, factor))
    assert torch.allclose(mixed, expected)
    assert torch.allclose(mixed_frequencies(a, a, factor), a)
    if factor == 1:
        assert torch.allclose(mixed, a)


def test_low_frequencies_keep_a_ramp_per_frame_and_drop_a_checkerboard():
    ramp = torch.linspace(-1, 1, 16, dtype=torch.float64).expand(1, 1, 2, 16, 16).clone()
    ramp[:, :, 1] *= -1  # frames are not mixed
    kept = low_frequencies(ramp, 4)
    assert torch.allclose(kept[..., 4:-4], ramp[..., 4:-4], atol=0.03)
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    assert low_frequencies(board.double().expand(1, 1, 1, 16, 16), 4).abs().max() < 0.1


# --- MOFT


def numpy_moft(a, b, channels):
    """a, b: (T, h, w, D)."""
    losses = []
    a, b = a - a.mean(0), b - b.mean(0)
    for f, y, x in np.ndindex(*a.shape[:3]):
        losses.append(1 - cosine(a[f, y, x][channels], b[f, y, x][channels]))
    return np.mean(losses)


def test_moft_equals_plain_loops_over_frames_and_places():
    a, b = pair(1, 5, 2, 3, 6)
    channels = torch.tensor([0, 2, 5])
    expected = numpy_moft(a[0].numpy(), b[0].numpy(), [0, 2, 5])
    assert moft_loss(a, b, channels).item() == pytest.approx(expected, rel=1e-12)
    assert moft_loss(a, a, channels).item() == pytest.approx(0, abs=1e-12)
    assert moft_loss(-a, a, channels).item() == pytest.approx(2)


def test_moft_does_not_see_what_stays_nor_the_other_channels():
    a, b = pair(1, 5, 2, 3, 6)
    channels = torch.tensor([1, 3])
    still, _ = pair(1, 1, 2, 3, 6, seed=9)
    assert content_free(a).mean(1).abs().max() < 1e-12
    assert moft_loss(a + still, b, channels).item() == pytest.approx(moft_loss(a, b, channels).item(), rel=1e-9)
    other = a.clone()
    other[..., [0, 2, 4, 5]] *= -3
    assert moft_loss(other, b, channels) == moft_loss(a, b, channels)


def numpy_channels(features, count, components):
    rows = (features - features.mean(0)).reshape(-1, features.shape[-1])
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    weights = sum(sizes[k] ** 2 * axes[k] ** 2 for k in range(components))
    return sorted(np.argsort(weights)[::-1][:count].tolist())


@pytest.mark.parametrize("components", [1, 2, 6])
def test_motion_channels_are_those_of_the_leading_components(components):
    a, _ = pair(1, 5, 2, 3, 6, seed=components)
    a = a * torch.tensor([1.0, 3.0, 0.5, 2.0, 1.5, 1.0]).double()
    expected = numpy_channels(a[0].numpy(), 3, components)
    assert motion_channels(a, 3, components).tolist() == expected


def test_motion_channels_find_the_channels_that_move_and_not_those_that_are_merely_large():
    a = 0.01 * torch.randn(1, 8, 4, 4, 10, generator=torch.Generator().manual_seed(0))
    a[..., 7] += 100  # large and still
    a[..., 2] += torch.linspace(-1, 1, 8)[None, :, None, None]
    a[..., 5] -= torch.linspace(-2, 2, 8)[None, :, None, None]
    assert motion_channels(a, 2).tolist() == [2, 5]


# --- gradients


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda a, b: flowmotion_loss(a, b, latent_weight=20, motion_weight=5), (1, 2, 4, 2, 2)),
        (smm_loss, (1, 4, 3)),
        (lambda a, b: moft_loss(a, b, torch.tensor([0, 2, 3])), (1, 4, 2, 2, 5)),
        (lambda a, b: steered(a, b, 0.1).square().sum(), (1, 3, 2, 2, 2)),
    ],
    ids=["flowmotion", "smm", "moft", "steered"],
)
def test_gradients_equal_finite_differences(loss, shape):
    a, b = pair(*shape, seed=4)
    assert torch.autograd.gradcheck(lambda x: loss(x, b), a.requires_grad_(True), eps=1e-7, atol=1e-5)


def test_a_still_reference_gives_no_nan():
    for loss, shape in ((smm_loss, (1, 4, 3)), (lambda a, b: moft_loss(a, b, torch.arange(5)), (1, 4, 2, 2, 5))):
        a, _ = pair(*shape)
        a.requires_grad_(True)
        value = loss(a, torch.ones_like(a))
        (slope,) = torch.autograd.grad(value, a)
        assert torch.isfinite(value)
        assert torch.isfinite(slope).all()
