"""Replayed training steps: the draws, the losses and the weights of plain ones; what happens where they do not work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.draws import Draw, DrawsAhead
from motionbench.methods.backbones.replay import MOST_RECORDINGS, WARMUP, ReplayedSteps, recorder_on
from motionbench.methods.followyourmotion.config import Config
from motionbench.methods.followyourmotion.method import FollowYourMotion
from motionbench.methods.motiondirector.config import Config as DirectorConfig
from motionbench.methods.motiondirector.method import MotionDirector
from motionbench.methods.tuning.learner import CHECK_EVERY, Learner, LossWatch, Schedule
from motionbench.methods.tuning.training import take_steps
from stand_in import StandIn, moving_square

from motionbench.errors import NotFiniteError
from motionbench.fallbacks import fallbacks, forget_fallbacks
from motionbench.method import Runtime


class BufferRecorder:
    """Records as a CUDA graph does: into memory of its own, with nothing carried out while it records."""

    def __init__(self, fails: bool = False) -> None:
        self.recorded: list[object] = []
        self.replays = 0
        self.fails = fails

    def record(self, step, draw):
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        held = Draw(tuple(t.clone().fill_(0) for t in draw.tensors), draw.variant)
        self.recorded.append(draw.variant)

        def replay(new):
            for kept, value in zip(held.tensors, new.tensors, strict=True):
                kept.copy_(value)
            self.replays += 1
            step(held)

        return replay


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    forget_fallbacks()
    yield
    forget_fallbacks()


def test_draws_come_in_order_and_no_more_than_asked_for() -> None:
    numbers = count()
    ahead = DrawsAhead(lambda: Draw((torch.tensor([next(numbers)]),)), 5, torch.device("cpu"))
    taken = []
    for _ in range(5):
        taken.append(int(ahead.take().tensors[0]))
        ahead.look_ahead()
    assert taken == [0, 1, 2, 3, 4]
    assert next(numbers) == 5
    with pytest.raises(IndexError):
        ahead.take()


def test_each_variant_runs_plainly_first_and_is_replayed_then() -> None:
    recorder, plain = BufferRecorder(), []
    steps = ReplayedSteps(lambda draw: plain.append((draw.variant, float(draw.tensors[0]))), recorder)
    for i in range(3 * (WARMUP + 2)):
        steps(Draw((torch.tensor(float(i)),), variant=i % 3))
    assert recorder.recorded == [0, 1, 2]
    assert recorder.replays == 6
    assert plain == [(i % 3, float(i)) for i in range(3 * (WARMUP + 2))]  # every step once, on its own draw


def test_no_more_variants_are_recorded_than_memory_is_kept_for() -> None:
    recorder = BufferRecorder()
    steps = ReplayedSteps(lambda draw: None, recorder)
    for i in range((MOST_RECORDINGS + 3) * (WARMUP + 2)):
        steps(Draw((), variant=i % (MOST_RECORDINGS + 3)))
    assert len(recorder.recorded) == MOST_RECORDINGS


def test_a_step_that_cannot_be_recorded_is_told_once_and_all_steps_are_taken(caplog) -> None:
    done = []
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            steps = ReplayedSteps(lambda draw: done.append(float(draw.tensors[0])), BufferRecorder(fails=True))
            for i in range(10):
                steps(Draw((torch.tensor(float(i)),)))
    assert done == [float(i) for i in range(10)] * 2
    assert [r.message for r in caplog.records] == [
        "replaying training steps does not work here; every step is launched by the host instead "
        "(operation not permitted when stream is capturing)"
    ]
    assert "every step is launched by the host, since operation" in fallbacks()["replaying training steps"]


def test_a_cpu_records_nothing() -> None:
    with recorder_on(torch.device("cpu"), wanted=True) as recorder:
        assert recorder is None


def losses_of(monkeypatch: pytest.MonkeyPatch, make, recorder: BufferRecorder | None):
    """Losses and weights of a fit whose steps are replayed by a recorder."""
    seen: list[float] = []
    own, made = Learner.finish, ReplayedSteps.__init__

    def finish(learner: Learner) -> None:
        seen.append(float(learner.watch.last))
        own(learner)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "finish", finish)
        patch.setattr(ReplayedSteps, "__init__", lambda self, step, _: made(self, step, recorder))
        adapter = make().fit(moving_square(), "a ball", seed=3)
    return seen, adapter


class HalfOfTheHeads(FollowYourMotion):
    """So that both stages have heads to tune."""

    def _assignment(self, scores, seed):
        return np.array([[True, True, False, False]] * 2)


def ours() -> FollowYourMotion:
    facts = {"spatial_steps": 12, "temporal_steps": 30, "frame_choice": "offset", "frame_draws": 2}
    return HalfOfTheHeads(Config(rank=2, sparse_frames=5, **facts), Runtime("stand_in"), StandIn())


def director() -> MotionDirector:
    facts = {"steps": 20, "spatial_share": 0.5, "inversion_steps": 2, "dropout": 0.0}
    return MotionDirector(DirectorConfig(rank=2, **facts), Runtime("stand_in"), StandIn())


@pytest.mark.parametrize(("make", "variants"), [(ours, [None, 0, 1]), (director, [False, True])])
def test_replayed_steps_have_the_losses_and_weights_of_plain_ones(monkeypatch, make, variants) -> None:
    plain, one = losses_of(monkeypatch, make, None)
    recorder = BufferRecorder()
    replayed, two = losses_of(monkeypatch, make, recorder)
    assert sorted(map(str, recorder.recorded)) == sorted(map(str, variants))
    assert recorder.replays > len(plain) / 3
    assert replayed == plain
    assert np.std(plain) > 0
    weights = [
        {k: v for w in a.loras.values() for k, v in w.items()} if make is ours else a.weights for a in (one, two)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_nan_in_a_replayed_step_is_found_at_the_next_look() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    schedule = Schedule("temporal", 10 * CHECK_EVERY, 1e-3, 0.0, 0, "constant", 1.0)
    learner, done = Learner([parameter], schedule), []

    def step(draw: Draw) -> None:
        learner.descend((parameter * draw.tensors[0]).sum())

    numbers = count()

    def draw() -> Draw:
        return Draw((torch.tensor(float("nan") if next(numbers) == 70 else 1.0),))

    with pytest.raises(NotFiniteError, match="temporal stage was NaN or infinite by step 100; lower temporal_lr"):
        take_steps(StandIn(), draw, step, lambda _: [learner], schedule, lambda *told: done.append(told))
    assert len(done) == 2 * CHECK_EVERY - 1


class Replaying(StandIn):
    """One whose steps are replayed."""

    @property
    def replays(self) -> bool:
        return True


def on_gpu(replays: bool, *, stop_waiting: bool = False) -> tuple[list[float], list[torch.Tensor]]:
    """Losses and weights of 40 steps of a small transformer on the GPU; stop_waiting: what waits is an error then."""
    backbone = Replaying() if replays else StandIn()
    backbone.device = torch.device("cuda")
    backbone.transformer.cuda()
    parameters = [p for block in backbone.transformer.blocks for p in block.attn1.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    latents, text = torch.randn(1, 4, 5, 4, 4, generator=generator).cuda(), torch.randn(1, 5, 8, generator=generator)
    text = text.cuda()
    schedule = Schedule("train", 40, 1e-3, 0.1, 5, "cosine", 1.0)
    learner = Learner(parameters, schedule)
    losses = torch.zeros(40, device="cuda")

    def draw() -> Draw:
        return Draw((torch.rand(1, generator=generator), torch.randn(latents.shape, generator=generator)))

    def step(draw: Draw) -> None:
        t, noise = draw.tensors
        x = (1 - t) * latents + t * noise
        learner.descend((backbone.velocity(x, t, text) - noise + latents).square().mean())

    def report(stage: str, done: int, total: int) -> None:
        losses[done - 1 : done].copy_(learner.watch.last)
        if done == 10 and stop_waiting:
            torch.cuda.set_sync_debug_mode("error")
        if done == total - 1:
            torch.cuda.set_sync_debug_mode("default")

    try:
        take_steps(backbone, draw, step, lambda _: [learner], schedule, report)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return losses.tolist(), [p.detach().cpu() for p in parameters]


@pytest.mark.gpu
def test_replayed_steps_on_a_gpu_have_the_losses_of_plain_ones() -> None:
    plain, one = on_gpu(False)
    replayed, two = on_gpu(True)
    assert not fallbacks()
    np.testing.assert_allclose(replayed, plain, rtol=1e-4)
    assert np.std(plain) > 1e-3
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("replays", [False, True])
def test_no_step_on_a_gpu_makes_the_host_wait(replays: bool) -> None:
    on_gpu(replays, stop_waiting=True)  # CUDA raises at the first operation that waits


@pytest.mark.gpu
def test_a_gpu_finds_a_nan_at_most_two_looks_later() -> None:
    schedule = Schedule("train", 1000, 1e-3, 0.0, 0, "constant", 1.0)
    watch = LossWatch(schedule, torch.device("cuda"))
    watch.see(torch.tensor(float("nan"), device="cuda"))
    watch.look(50)
    with pytest.raises(NotFiniteError, match="by step 100"):
        watch.look(100)
