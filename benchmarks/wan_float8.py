"""What frozen weights in float8 do to training: gradients against float32, and losses beside bfloat16's."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from motionbench.methods.backbones.draws import Draw, DrawsAhead
from motionbench.methods.backbones.execution import Execution
from motionbench.methods.backbones.replay import ReplayedSteps, recorder_on
from motionbench.methods.backbones.wan_models import WAN_1_3B
from motionbench.methods.tuning.training import Steps
from wan_measure import Bench, RandomBackbone, Step, ready_step

DRAWS = 4  # of noise and time, at which gradients are compared
STEPS, WINDOW = 200, 10  # of the losses; they are kept as means of so many


def gradients(bench: Bench, step: Step, backbone: RandomBackbone) -> list[torch.Tensor]:
    """The gradient of all LoRA weights, as one vector in float64 on the CPU, for each of some draws."""
    found = []
    with ready_step(bench, step, backbone) as ready:
        for _ in range(DRAWS):
            tensors = tuple(tensor.to(bench.device) for tensor in ready.draw().tensors)
            value = ready.loss(Draw(tensors))
            slopes = torch.autograd.grad(value, ready.learner.parameters)
            found.append(torch.cat([slope.flatten().double().cpu() for slope in slopes]))  # summed over 10^8 numbers
    return found


def in_float32(bench: Bench, backbone: RandomBackbone, execution: Execution) -> RandomBackbone:
    """A copy of the model in float32, with the same weights."""
    made = RandomBackbone(backbone.model, bench, execution)
    made.dtype = torch.float32
    made.__dict__["transformer"] = deepcopy(backbone.transformer).float()
    return made


def gradient_errors(bench: Bench, execution: Execution, exact: Execution) -> dict[str, Any]:
    """Of LoRA gradients on a short clip in the model's type, with weights as they are and in float8: least cosine with
    those in float32, and the ratio of their norms that is farthest from one.
    """
    backbone = RandomBackbone(WAN_1_3B, bench, execution)
    step = Step("gradients", "temporal", 5, execution, loud=True)
    found = {kind: gradients(bench, replace(step, frozen_weights=kind), backbone) for kind in ("unchanged", "float8")}
    expected = gradients(bench, replace(step, execution=exact), in_float32(bench, backbone, exact))
    facts: dict[str, Any] = {"draws": DRAWS, "frames": step.frames}
    for kind, vectors in found.items():
        pairs = list(zip(vectors, expected, strict=True))
        cosines = [float(torch.nn.functional.cosine_similarity(a, b, 0)) for a, b in pairs]
        norms = [float(a.norm() / b.norm()) for a, b in pairs]
        facts[kind] = {"cosine": min(cosines), "norm": max(norms, key=lambda ratio: abs(ratio - 1))}
    return facts


def losses(bench: Bench, step: Step, backbone: RandomBackbone, count: int) -> torch.Tensor:
    """Losses (count,) of training steps from the same start on the same draws."""
    seen = torch.zeros(count, device=bench.device)
    with ready_step(bench, step, backbone) as ready, recorder_on(backbone.device, backbone.replays) as recorder:
        replayed = ReplayedSteps(ready.descend, recorder)
        steps = Steps(DrawsAhead(ready.draw, count, backbone.device), replayed, lambda _: [ready.learner])
        for i in range(count):
            steps.take()
            seen[i] = ready.learner.watch.last
    return seen.cpu()


def loss_distances(bench: Bench, execution: Execution, other: Execution) -> dict[str, Any]:
    """How far losses of single frames with float8 are from those without, beside another way to compute the latter.

    Mean over the steps of the relative difference, and the same of the last quarter's mean loss.
    """
    count = 2 * WINDOW if bench.smoke else STEPS
    backbone = RandomBackbone(WAN_1_3B, bench, execution)
    step = Step("losses", "spatial", 1, execution)
    runs = {
        "unchanged": losses(bench, step, backbone, count),
        "float8": losses(bench, replace(step, frozen_weights="float8"), backbone, count),
        "other kernels": losses(bench, replace(step, execution=other), backbone, count),
    }
    base, last = runs["unchanged"], count // 4
    facts: dict[str, Any] = {"steps": count, "frames": step.frames}
    for kind, run in runs.items():
        ends = float(run[-last:].mean() / base[-last:].mean() - 1)
        means = [round(float(part.mean()), 5) for part in run.split(WINDOW)]
        facts[kind] = {"distance": float(((run - base) / base).abs().mean()), "end": ends, "losses": means}
    return facts
