"""Appearance: what of the reference's looks got into the generated clip, and whether its background was kept."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import MissingExtra
from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample

from . import track_matching as tm
from .camera_motion import fit_camera
from .embed import SeenByModel
from .motion_parts import motion_to_parts
from .threads import one_thread

Array = NDArray[np.float32]

_LEAST_MARGIN = 0.02  # cosine: with less between caption and prompt, there is nothing to tell apart
_LPIPS_SIDE = 128  # small frames are enlarged to this: the network's features start at 11x11 pixels


def leak_share(generated: Array, reference: Array, prompt: Array, caption: Array) -> float | None:
    """How far the generated clip leans to the reference's words instead of the prompt's: 0 not at all, 1 as the
    reference.

    All are unit embeddings; generated (T, D) and reference (T, D) of frames, prompt and caption (D,) of texts. With
    m(x) = x . caption - x . prompt, and the reference's own m as the unit: (m(generated) + m(reference)) / (2
    m(reference)). 0 thus means as far on the prompt's side as the reference is on the caption's. Kept unclipped. None
    if the two texts cannot be told apart by the reference: then there is nothing that could leak.
    """
    words = caption.astype(np.float64) - prompt.astype(np.float64)
    base = float((reference @ words).mean())
    if base < _LEAST_MARGIN:
        return None
    return float(((generated @ words).mean() + base) / (2 * base))


def residual_cosine(generated: Array, reference: Array, prompt: Array, caption: Array) -> float:
    """Mean cosine of the two clips' frames at the same time, after what either text says has been taken out of both."""
    basis = np.linalg.qr(np.stack([prompt, caption], axis=1).astype(np.float64))[0]
    g, r = (x - (x @ basis) @ basis.T for x in (generated.astype(np.float64), reference.astype(np.float64)))
    frames = min(len(g), len(r))
    g, r = (x[np.linspace(0, len(x) - 1, frames).round().astype(int)] for x in (g, r))
    norms = np.linalg.norm(g, axis=1) * np.linalg.norm(r, axis=1)
    return float(((g * r).sum(1) / np.maximum(norms, 1e-12)).mean())


class AppearanceLeak(SeenByModel):
    """How far the clip shows the reference's content instead of the prompt's: 0 not at all, 1 as the reference does."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="appearance_leak",
        version=2,
        unit="",
        range=(None, None),
        better="lower",
        source="this project; direction between two texts after StyleGAN-NADA, arXiv:2108.00946",
        summary="leaning to the reference's words instead of the prompt's; copying the reference scores 1",
        floor="copy",
        ceiling=("oracle", "backbone"),
        measures="appearance",
        faults=("leak",),
    )

    def measure(self, sample: Sample) -> Measurement:
        for name, text in (("prompt", sample.prompt), ("caption", sample.caption)):
            if why := self.embedder.cannot_read(text):
                return Measurement(None, f"the {name} cannot be read: {why}", {"model": self.embedder.label})
        frames = self.embedder.frames(sample.generated), self.embedder.frames(sample.reference)
        texts = self.embedder.text(sample.prompt), self.embedder.text(sample.caption)
        details = {"model": self.embedder.label, "residual_cosine": round(residual_cosine(*frames, *texts), 5)}
        value = leak_share(*frames, *texts)
        if value is None:
            return Measurement(None, "the prompt shows what the reference shows: nothing can leak", details)
        return Measurement(value, "", details)


def background_mask(sample: Sample) -> NDArray[np.bool_] | None:
    """(T, H, W) where no moving thing is in either clip, from the tracks; None if the camera moves or little is left.

    Every moving track hides a square of one and a half grid spacings around it. Under a moving camera the two
    backgrounds do not lie on each other, and comparing them pixel by pixel says nothing.
    """
    frames, height, width = sample.generated.frames.shape[:3]
    mask = np.ones((frames, height, width), bool)
    for clip in (sample.generated, sample.reference):
        motion = tm.tracks_to_motion(sample.tracks(clip))
        if not len(motion.points) or len(clip) != frames:
            return None
        drift = np.abs(np.cumsum(fit_camera(motion).signal, axis=0)).max(initial=0)
        if drift > 2 * tm.MOVING_RANGE:
            return None
        parts = motion_to_parts(motion)[-1]
        spacing = np.sqrt(height * width / max(len(motion.points), 64))
        for group in (*parts.groups, *filter(None, [parts.scatter])):
            _hide(mask, motion.points[group.index] * np.hypot(height, width), spacing)
    return mask if mask.mean() > 0.1 else None


def _hide(mask: NDArray[np.bool_], points: NDArray[np.float64], spacing: float) -> None:
    reach = 1.5 * spacing
    for track in points:
        for t, (x, y) in enumerate(track):
            rows = slice(max(0, int(y - reach)), max(0, int(np.ceil(y + reach)) + 1))
            columns = slice(max(0, int(x - reach)), max(0, int(np.ceil(x + reach)) + 1))
            mask[t, rows, columns] = False


@functools.cache
def _perceptual_net(device: str) -> Any:
    """Shift-tolerant LPIPS on AlexNet, with the weights that its package carries. Raises MissingExtra."""
    try:
        from stlpips_pytorch import stlpips
    except ImportError as error:
        command = "pip install 'motionbench-transfer[lpips]'"
        raise MissingExtra(f"background_lpips needs ST-LPIPS: {command} ({error})") from error
    with contextlib.redirect_stdout(io.StringIO()):  # it prints as it loads
        return stlpips.LPIPS(net="alex", variant="shift_tolerant", spatial=True, verbose=False).to(device).eval()


class BackgroundLpips:
    """Perceptual distance (ST-LPIPS) of the backgrounds under a still camera; for methods that promise to keep it."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="background_lpips",
        version=1,
        unit="ST-LPIPS",
        range=(0.0, None),
        better="lower",
        source="Ghildyal and Liu, arXiv:2207.13686; background as in jnheinrich's lpips_bg, from tracks, not masks",
        summary="perceptual distance where nothing moves; says nothing of methods that are meant to change the scene",
        floor="backbone",
        ceiling=("copy",),
        measures="appearance",
        faults=("wrong_appearance", "flicker"),
    )

    def __init__(self, net: Any, device: str) -> None:
        self.net, self.device = net, device

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        """Raises MissingExtra with the pip command."""
        return cls(_perceptual_net(runtime.device), runtime.device)

    @torch.inference_mode()
    def measure(self, sample: Sample) -> Measurement:
        if sample.generated.frames.shape != sample.reference.frames.shape:
            return Measurement(None, "clips of different shape cannot be laid on each other")
        mask = background_mask(sample)
        if mask is None:
            return Measurement(None, "the camera moves, or no background is left")
        total = 0.0
        for t in range(len(sample.generated)):
            with one_thread(self.device):
                distance = self.net(self._pixels(sample.generated, t), self._pixels(sample.reference, t))
            shown = F.interpolate(distance, size=mask.shape[1:], mode="bilinear", align_corners=False)[0, 0].cpu()
            total += float(shown[torch.from_numpy(mask[t])].double().sum())
        return Measurement(total / float(mask.sum()), "", {"background_share": round(float(mask.mean()), 4)})

    def _pixels(self, clip: Clip, t: int) -> torch.Tensor:
        x = torch.from_numpy(np.array(clip.frames[t])).to(self.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        scale = _LPIPS_SIDE / min(clip.height, clip.width)
        if scale > 1:
            x = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        return x
