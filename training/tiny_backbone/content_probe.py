"""A small dense classifier that says what a clip of the embedded world shows: judge of the backbone's exam.

tiny-clip reads whole frames and is weak on shapes. The world knows which points lie on a subject, so this probe learns
from single points, of which a thousand clips hold many thousands. Shapes of ten pixels that the VAE has smoothed differ
little: it takes thousands of decoded clips (minutes of a GPU) before the probe names nearly all of the renderer's own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from motionbench.metrics.tiny_clip.content import ContentWords
from numpy.typing import NDArray
from torch import Tensor, nn

from motionbench.clip import Clip, nearest_indices
from motionbench.seeds import derive_seed

from ..augment import blur_decoder, disturb

logger = logging.getLogger(__name__)
GRID = 32  # cells a side
LOOKS = 5  # frames of a clip that are looked at: 4k+1, so that a Wan VAE takes them as a clip
POINTS = 48
STEP_FRAMES = 64
DRAW = 100  # clips rendered at once: on a GPU a batch costs about what one clip does
NO_SUBJECT = -1
MOST_SUBJECTS = 4


@dataclass(frozen=True)
class Verdict:
    """What the probe sees in one clip, given the colors that the prompt names.

    scene: the likeliest. colors: as many as asked for, those of the largest area, sorted. kinds: for each color asked
    for, in order, the kind of thing that has it.
    """

    scene: str
    colors: tuple[str, ...]
    kinds: tuple[str, ...]


class ContentProbe(nn.Module):
    """Per cell of a 32 x 32 grid: which kind of subject lies there (or none) and its color; per frame: the scene."""

    def __init__(self, words: ContentWords, width: int = 48) -> None:
        super().__init__()
        self.words = words
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 5, 1, 2), nn.GroupNorm(4, width // 2), nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, 2, 1), nn.GroupNorm(4, width), nn.SiLU(),
        )  # fmt: skip
        # Dilations widen the view to the whole subject: a star and a diamond differ at their tips only.
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 1, d, dilation=d), nn.GroupNorm(4, width), nn.SiLU())
            for d in (1, 2, 4, 8, 2, 1)
        )
        self.kind = nn.Conv2d(width, len(words.shape) + 1, 1)  # the last one: no subject
        self.color = nn.Conv2d(width, len(words.color), 1)
        self.scene = nn.Linear(width, len(words.scene))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities: kind (M, K + 1, 32, 32), color (M, C, 32, 32), scene (M, S) of frames in [0, 1]."""
        x = self.stem(F.interpolate(frames, size=(2 * GRID, 2 * GRID), mode="area") * 2 - 1)
        for block in self.blocks:
            x = x + block(x)
        scene = self.scene(x.mean((2, 3)))
        return self.kind(x).log_softmax(1), self.color(x).log_softmax(1), scene.log_softmax(1)

    @torch.inference_mode()
    def judge(self, frames: NDArray[np.uint8], colors: tuple[str, ...]) -> Verdict:
        """What a clip (T, H, W, 3) shows, from five of its frames."""
        kind, color, scene = self._look(frames[nearest_indices(len(frames), LOOKS)])
        on_subject = kind[:, :-1].exp()  # (T, K, 32, 32)
        tinted = color.exp() * on_subject.sum(1, keepdim=True)
        area = tinted.sum((0, 2, 3))
        largest = area.topk(len(colors)).indices.tolist()
        rows = [self.words.color.index(c) for c in colors]
        # The kind of a subject is read where its color is, so that a red star and a blue ball are not a red ball.
        votes = torch.einsum("tkyx,tcyx->ck", on_subject, color[:, rows].exp())
        return Verdict(
            self.words.scene[int(scene.mean(0).argmax())],
            tuple(sorted(self.words.color[i] for i in largest)),
            tuple(self.words.shape[i] for i in votes.argmax(1).tolist()),
        )

    def _look(self, frames: NDArray[np.uint8]) -> tuple[Tensor, Tensor, Tensor]:
        """`forward` of frames (M, H, W, 3), on the probe's device; the answers are on the CPU."""
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.scene.weight.device)
        kind, color, scene = self.eval()(pixels.permute(0, 3, 1, 2).float() / 255)
        return kind.cpu(), color.cpu(), scene.cpu()

    @torch.inference_mode()
    def tag(self, frame: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.str_]:
        """Color of the subject at each point (N, 2), x then y in pixels of a frame (H, W, 3); "" on the scene."""
        kind, color, _ = self._look(frame[None])
        names = np.array([*self.words.color, ""])
        best = torch.where(kind[0, -1].exp() < 0.5, color[0].argmax(0), len(self.words.color)).numpy()
        size = np.array([frame.shape[1], frame.shape[0]])
        cell = np.clip(((points + 0.5) * GRID / size).astype(int), 0, GRID - 1)
        tags: NDArray[np.str_] = names[best[cell[:, 1], cell[:, 0]]]
        return tags


@dataclass(frozen=True)
class Pool:
    """Labeled frames (M, 3, H, W) uint8 with points: cells (M, N, 2) x, y; owner (M, N) 1 subject, 0 scene, -1 unseen.

    subjects: (M, 4, 2) color and kind, NO_SUBJECT where there are fewer; scene (M,).
    """

    frames: Tensor
    cells: Tensor
    owner: Tensor
    subjects: Tensor
    scene: Tensor


def round_trip(backbone: Any, frames: Tensor) -> Tensor:
    """Frames (T, 3, H, W) in [0, 1], T = 4k+1, as the backbone's VAE returns them."""
    pixels = (frames.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
    decoded = backbone.decode(backbone.encode(Clip(pixels, backbone.fps))).frames
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).float() / 255


def gather(
    world: Any, backbone: Any, words: ContentWords, *, clips: int, decoded: bool, seed: int, device: str = "cpu"
) -> Pool:
    """A pool of training clips, five frames of each through the VAE, or three blurred and disturbed instead.

    device: where clips are rendered; the pool is on the CPU.
    """
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, clips, DRAW):
        count = min(DRAW, clips - start)
        draw = derive_seed(seed, "content probe", str(decoded), str(start))
        batch = world.sample(count, seed=draw, device=device, points=POINTS)
        generator = torch.Generator().manual_seed(draw)
        looks = LOOKS if decoded else 3
        at = torch.rand(count, world.frames, generator=generator).argsort(1)[:, :looks]  # (B, looks)
        frames = batch.frames[torch.arange(count)[:, None], at].cpu()
        if decoded:
            frames = torch.stack([round_trip(backbone, clip) for clip in frames])
        else:
            frames = disturb(blur_decoder(frames.flatten(0, 1), generator).view_as(frames), generator)
        parts.append(_label(batch, frames, at, words))
        logger.info("%d of %d %s clips", start + count, clips, "decoded" if decoded else "blurred")
    return Pool(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _label(batch: Any, frames: Tensor, at: Tensor, words: ContentWords) -> tuple[Tensor, ...]:
    b, looks, _, height, width = frames.shape
    index = at[:, None, :, None].expand(-1, POINTS, -1, 2)
    points = batch.points.cpu().gather(2, index).transpose(1, 2)  # (B, looks, N, 2)
    cells = ((points + 0.5) * GRID / torch.tensor([width, height])).long().clamp(0, GRID - 1)
    seen = batch.visible.cpu().gather(2, index[..., 0]).transpose(1, 2)
    owner = torch.where(seen, (~batch.background.cpu())[:, None].long(), -1)
    subjects = torch.full((b, MOST_SUBJECTS, 2), NO_SUBJECT)
    for row, caption in enumerate(batch.captions):
        for place, (color, kind) in enumerate(words.key(caption.split())[1]):
            subjects[row, place, 0] = words.color.index(str(color))
            subjects[row, place, 1] = words.shape.index(str(kind))
    scene = torch.tensor([words.scene.index(label["scene"]) for label in batch.labels])
    return (
        (frames.flatten(0, 1) * 255).round().to(torch.uint8), cells.flatten(0, 1), owner.flatten(0, 1),
        subjects.repeat_interleave(looks, 0), scene.repeat_interleave(looks),
    )  # fmt: skip


def probe_loss(probe: ContentProbe, pool: Pool, rows: Tensor, mirrored: bool) -> Tensor:
    """Cross-entropy at points: `no subject` on the scene; on a subject, any one of those that the caption names.

    Which subject a point lies on is not told; colors and kinds within a clip differ, so the sum over the named ones
    (partial labels) is enough.
    """
    frames, x, y = pool.frames[rows].float() / 255, pool.cells[rows, :, 0], pool.cells[rows, :, 1]
    if mirrored:
        frames, x = frames.flip(-1), GRID - 1 - x
    kind, color, scene = probe(frames)
    m = torch.arange(len(rows))[:, None]
    kind, color = kind[m, :, y, x], color[m, :, y, x]  # (M, N, words)
    subjects, owner = pool.subjects[rows], pool.owner[rows]
    named = (subjects[..., 0] >= 0)[:, None].expand(-1, owner.shape[1], -1)
    which = subjects.clamp(min=0)[:, None].expand(-1, owner.shape[1], -1, -1)
    fits = kind.gather(2, which[..., 1]) + color.gather(2, which[..., 0])
    of_subject = fits.masked_fill(~named, -torch.inf).logsumexp(-1)
    at_points = torch.where(owner == 1, of_subject, kind[..., -1])[owner >= 0].mean()
    return F.nll_loss(scene, pool.scene[rows]) - at_points


def train_probe(
    world: Any, backbone: Any, words: ContentWords, *, decoded: int, blurred: int, steps: int, device: str = "cpu"
) -> ContentProbe:
    """A probe trained from random weights on that many clips of each sort; deterministic on one machine's CPU."""
    parts = [
        gather(world, backbone, words, clips=count, decoded=kind, seed=0, device=device)
        for kind, count in ((True, decoded), (False, blurred))
        if count
    ]
    pool = Pool(*(torch.cat([getattr(p, name) for p in parts]).to(device) for name in Pool.__dataclass_fields__))
    torch.manual_seed(0)
    probe = ContentProbe(words).to(device)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        rows = torch.randint(len(pool.frames), (STEP_FRAMES,), generator=generator).to(device)
        loss = probe_loss(probe, pool, rows, mirrored=step % 2 == 1)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            logger.info("probe step %d of %d: loss %.3f", step, steps, float(loss.detach()))
    return probe.eval()
