"""The baselines' losses against plain numpy, their gradients against finite differences, and known bugs absent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.methods.tuning.debiased_loss import debiased, temporal_loss
from motionbench.methods.vmc.losses import global_loss, haar_bands, local_loss, low_frequencies_first, vmc_loss

SHAPE = (2, 3, 6, 4, 5)  # B, C, F, h, w


def pair(seed: int = 0, shape=SHAPE):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2)]


def numpy_debias(a, b, anchor, beta):
    alpha, total = np.sqrt(beta**2 + 1), 0.0
    for i in range(a.shape[2]):
        gap = (alpha * a[:, :, i] - beta * a[:, :, anchor]) - (alpha * b[:, :, i] - beta * b[:, :, anchor])
        total += (gap**2).sum()
    return total / a.size


def numpy_vmc(a, b, axis):
    a, b = (np.abs(x[:, :, 1:] - x[:, :, :-1]) for x in (a, b))
    dot = (a * b).sum(axis)
    return (1 - dot / np.sqrt((a**2).sum(axis) * (b**2).sum(axis))).mean()


def numpy_haar(x, levels):
    """Haar coefficients of one series, by its matrix."""
    bands = []
    for _ in range(levels):
        if len(x) == 1:
            break
        x = np.append(x, x[-1:]) if len(x) % 2 else x
        matrix = np.kron(np.eye(len(x) // 2), np.array([[1, 1], [1, -1]]) / np.sqrt(2))
        y = matrix @ x
        bands.append(y[1::2])
        x = y[::2]
    return [*bands, x]


def numpy_global(a, b, levels):
    gap = (np.diff(a, axis=2) - np.diff(b, axis=2)).transpose(0, 1, 3, 4, 2).reshape(-1, a.shape[2] - 1)
    bands = zip(*(numpy_haar(series, levels) for series in gap), strict=True)
    return sum(np.mean(np.abs(np.stack(band))) for band in bands)


def numpy_local(a, b, high):
    h, w = a.shape[-2:]
    ky, kx = (np.minimum(np.arange(n), n - np.arange(n)) / n for n in (h, w))
    radius = np.sqrt(ky[:, None] ** 2 + kx[None] ** 2)
    weight = high ** (radius / radius.max())
    fa, fb = (np.fft.fft2(np.diff(x, axis=2)) / np.sqrt(h * w) for x in (a, b))
    phase = np.abs(np.angle(fa) - np.angle(fb))
    assert phase.max() > np.pi or np.array_equal(a, b)  # so that going around the circle makes a difference
    phase = np.minimum(phase, 2 * np.pi - phase)
    return ((np.abs(np.abs(fa) - np.abs(fb)) + phase) * weight).mean() / weight.mean()


@pytest.mark.parametrize(("anchor", "beta", "weight"), [(0, 1.0, 1.0), (3, 1.0, 1.0), (5, 0.5, 2.0)])
def test_the_debiased_loss_equals_plain_numpy(anchor, beta, weight):
    a, b = pair()
    expected = ((a - b) ** 2).mean().item() + weight * numpy_debias(a.numpy(), b.numpy(), anchor, beta)
    assert temporal_loss(a, b, torch.tensor([anchor]), weight=weight, beta=beta).item() == pytest.approx(
        expected, rel=1e-12
    )


def test_debiasing_weighs_shared_appearance_less_and_is_there():
    a, b = pair()
    shared = torch.randn(2, 3, 1, 4, 5, dtype=torch.float64)
    gap = debiased(a + shared, torch.tensor([2])) - debiased(a, torch.tensor([2]))
    assert torch.allclose(gap, (2**0.5 - 1) * shared.expand_as(gap))  # 0.41 of it is left
    assert temporal_loss(a, b, torch.tensor([2])) > 1.5 * (a - b).square().mean()  # an MSE alone is another method


@pytest.mark.parametrize(("axis", "number"), [("time", 2), ("channel", 1)])
def test_vmc_equals_plain_numpy(axis, number):
    a, b = pair(1)
    assert vmc_loss(a, b, axis).item() == pytest.approx(numpy_vmc(a.numpy(), b.numpy(), number), rel=1e-9)
    assert vmc_loss(a, a, axis).item() == pytest.approx(0, abs=1e-12)
    assert vmc_loss(a, -a, axis).item() == pytest.approx(0, abs=1e-12)  # deaf to the sign, as the docstring says


def test_vmc_of_the_paper_hears_the_sign_and_is_one_cosine_a_frame():
    a, b = pair(1)
    moves = [np.moveaxis(np.diff(x.numpy(), axis=2), 2, 1).reshape(len(x), -1, x[0, :, 0].numel()) for x in (a, b)]
    cosine = (moves[0] * moves[1]).sum(-1) / np.linalg.norm(moves[0], axis=-1) / np.linalg.norm(moves[1], axis=-1)
    assert vmc_loss(a, b, "frame").item() == pytest.approx(1 - cosine.mean(), rel=1e-9)
    assert vmc_loss(a, a, "frame").item() == pytest.approx(0, abs=1e-12)
    assert vmc_loss(a, -a, "frame").item() == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize("frames", [2, 3, 4, 6, 8, 10])
def test_the_wavelet_loss_equals_plain_numpy_for_any_number_of_frames(frames):
    a, b = pair(2, (1, 2, frames, 2, 3))
    assert global_loss(a, b).item() == pytest.approx(numpy_global(a.numpy(), b.numpy(), 2), rel=1e-9)


def test_haar_is_orthonormal_and_tells_slow_from_fast():
    x = torch.randn(1, 1, 8, 2, 2, dtype=torch.float64)
    bands = haar_bands(x, 3)
    assert sum(band.square().sum() for band in bands).item() == pytest.approx(x.square().sum().item())
    fine, coarse, rest = haar_bands(torch.ones(1, 1, 8, 1, 1), 2)
    assert (fine.abs().max(), coarse.abs().max(), rest.mean()) == (0, 0, 2)


def test_the_fourier_loss_equals_plain_numpy():
    a, b = pair(3)
    # float32 inside, as torch's FFT of bfloat16 is none
    assert local_loss(a, b).item() == pytest.approx(numpy_local(a.numpy(), b.numpy(), 0.05), rel=1e-5)
    assert local_loss(a, a).item() == pytest.approx(0, abs=1e-5)


def test_low_frequencies_weigh_most():
    weight = low_frequencies_first(4, 6, 0.05)
    assert weight[0, 0] == 1
    assert weight.min().item() == pytest.approx(0.05)
    assert weight[2, 3] == weight.min()


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: temporal_loss(a, b, torch.tensor([1])),
        vmc_loss,
        lambda a, b: vmc_loss(a, b, "channel"),
        lambda a, b: vmc_loss(a, b, "frame"),
        global_loss,
    ],
    ids=["motiondirector", "vmc", "vmc-channel", "vmc-frame", "sma-global"],
)
def test_gradients_equal_finite_differences(loss):
    a, b = pair(4, (1, 2, 4, 2, 2))
    assert torch.autograd.gradcheck(lambda x: loss(x, b), a.requires_grad_(True), eps=1e-7, atol=1e-5)


def test_the_gradient_of_the_fourier_loss_points_downhill():
    """In float32, where differences of single entries drown: along the gradient they do not."""
    a, b = (x.float() for x in pair(5, (1, 2, 4, 4, 4)))
    a.requires_grad_(True)
    (slope,) = torch.autograd.grad(local_loss(a, b), a)
    assert torch.isfinite(slope).all()
    step = 1e-4 * slope / slope.norm()
    numeric = (local_loss(a + step, b) - local_loss(a - step, b)).item() / 2e-4
    assert numeric == pytest.approx(slope.norm().item(), rel=2e-2)
    (slope,) = torch.autograd.grad(local_loss(a * 0, b), a)
    assert torch.isfinite(slope).all()  # a phase at amplitude 0
