"""The loop of every training: a budget of minutes, several GPUs, a moving average, a checkpoint to go on from."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from motionbench.errors import StoreError
from motionbench.seeds import derive_seed

logger = logging.getLogger(__name__)
WARMUP_STEPS = 200
CHECKPOINT_SECONDS = 60.0
LOG_EVERY = 50


def add_arguments(parser: argparse.ArgumentParser, *, batch: int, learning_rate: float) -> None:
    """The options that both training scripts share."""
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for checkpoint.safetensors and weights/; an interrupted run goes on from it",
    )
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="wall-clock budget of training, all runs into --out together"
    )
    parser.add_argument("--batch", type=int, default=batch, help="clips a step")
    parser.add_argument(
        "--vae", type=Path, default=None, help="folder of an AutoencoderKLWan; without it a blur stands in"
    )
    parser.add_argument("--world", default="procedural", help="entry point of group motionbench.worlds")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the network: about a minute at first, then faster"
    )
    parser.add_argument("--evaluation-clips", type=int, default=128)
    parser.add_argument(
        "--reuse", type=int, default=2, help="steps on the same rendered clips, each time disturbed anew"
    )


def step_generator(seed: int, step: int, device: str) -> torch.Generator:
    """The randomness of one training step: the same whether or not the run was interrupted before it."""
    return torch.Generator(device).manual_seed(derive_seed(seed, "train", str(step)))


def describe_run(run: Run, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a model card says of a finished run."""
    a = arguments
    return {
        "steps": run.step,
        "batch": a.batch,
        "training_seconds": round(run.elapsed, 1),
        "seed": a.seed,
        "device": torch.cuda.get_device_name() if str(a.device).startswith("cuda") else "cpu",
        "vae": a.vae is not None,
        "loss": [[step, round(loss, 4)] for step, loss in run.losses[:: max(1, len(run.losses) // 20)]],
    }


def cosine(step: int, progress: float) -> float:
    """Warm-up by steps, then a cosine over the budget from 1 to a hundredth."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Mean of the gradients over all processes, as one flat tensor."""
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat, op=dist.ReduceOp.AVG)
    for g, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        g.copy_(part.view_as(g))


class Run:
    """A model in training: optimizers at a share of their own rates, and a moving average of the weights.

    factor(step, progress): that share, progress in [0, 1] being how much of the budget is spent. The checkpoint is in
    `out`; None keeps none. With a budget of time the number of steps depends on the machine; two runs are equal step by
    step, not in length. Under torch.distributed gradients are averaged, and all processes end at the same step.
    """

    def __init__(
        self,
        model: nn.Module,
        out: Path | None,
        minutes: float,
        optimizers: Sequence[torch.optim.Optimizer],
        factor: Callable[[int, float], float] = cosine,
    ) -> None:
        self.model, self.minutes, self.optimizers, self.factor = model, minutes, list(optimizers), factor
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group in self.groups:
            group.setdefault("peak", group["lr"])
        self.ranks = dist.get_world_size() if dist.is_initialized() else 1
        self.step, self.elapsed = 0, 0.0
        self.losses: list[tuple[int, float]] = []
        self._checkpoint = None if out is None else out / "checkpoint.safetensors"
        if self._checkpoint is not None and self._checkpoint.exists():
            self._resume(self._checkpoint)

    @classmethod
    def of(cls, model: nn.Module, arguments: argparse.Namespace) -> Self:
        """AdamW under a cosine, by the options of `add_arguments`."""
        decay = [p for p in model.parameters() if p.ndim >= 2]
        plain = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        on_gpu = str(arguments.device).startswith("cuda")
        optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98), fused=on_gpu)
        return cls(model, arguments.out, arguments.minutes, [optimizer])

    def loop(self, loss_of_step: Callable[[int], Tensor]) -> None:
        """Train until the budget is spent. loss_of_step(step) renders the step's data and returns its loss, without
        waiting for the device."""
        begun, saved, first, before = time.monotonic() - self.elapsed, self.elapsed, self.step, self.elapsed
        while not self._is_over(elapsed := time.monotonic() - begun):
            progress = elapsed / (self.minutes * 60)
            loss = loss_of_step(self.step)
            self.update(loss, progress)
            if self.step % LOG_EVERY == 0 or self.step == first + 1:
                self.losses.append((self.step, loss.item()))  # the only wait for the device
                pace = (self.step - first) / max(time.monotonic() - begun - before, 1e-9)
                logger.info("step %d  loss %.4f  %.2f steps/s  %.0f%%", *self.losses[-1], pace, 100 * progress)
            if elapsed - saved > CHECKPOINT_SECONDS:
                self.elapsed = saved = elapsed
                self.save()
        self.elapsed = time.monotonic() - begun
        self.save()

    def _is_over(self, elapsed: float) -> bool:
        """Whether the budget of any process is spent: all must leave the loop at the same step."""
        if self.ranks == 1:
            return elapsed >= self.minutes * 60
        if self.step % 10:
            return False
        over = torch.tensor(float(elapsed >= self.minutes * 60), device=next(self.model.parameters()).device)
        dist.all_reduce(over, op=dist.ReduceOp.MAX)
        return bool(over)

    def update(self, loss: Tensor, progress: float = 0.0) -> None:
        """One step down a loss, and the average after it."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.ranks > 1:
            average_gradients(list(self.model.parameters()))
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        share = self.factor(self.step, progress)
        for group in self.groups:
            group["lr"] = group["peak"] * share
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        average = get_ema_multi_avg_fn(min(0.999, self.step / (9 + self.step)))
        average(list(self.average.parameters()), list(self.model.parameters()), self.step)

    def save(self) -> None:
        """Write the checkpoint to a temporary name, then rename it, so that a killed run leaves a whole one.

        One safetensors file, the numbers as JSON in its header: reading it runs no code, as reading a pickle would.
        """
        if self._checkpoint is None or (self.ranks > 1 and dist.get_rank()):
            return
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        for number, held in enumerate(states):
            tensors |= {f"optimizer/{number}/{i}/{k}": v for i, s in held["state"].items() for k, v in s.items()}
        numbers = {
            "step": self.step,
            "elapsed": self.elapsed,
            "losses": self.losses,
            "groups": [held["param_groups"] for held in states],
        }
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self._checkpoint.with_suffix(".tmp")
        # clone: a tied tensor would be refused
        plain = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
        save_file(plain, partial, metadata={"run": json.dumps(numbers)})
        partial.replace(self._checkpoint)

    def _resume(self, checkpoint: Path) -> None:
        """Go on from the checkpoint. Raises StoreError if it is not one of this model."""
        try:
            with safe_open(checkpoint, framework="pt") as file:
                numbers = json.loads(file.metadata()["run"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            self.model.load_state_dict(_below(tensors, "model/"))
            self.average.load_state_dict(_below(tensors, "average/"))
            for number, (optimizer, groups) in enumerate(zip(self.optimizers, numbers["groups"], strict=True)):
                state: dict[int, dict[str, Tensor]] = {}
                for key, value in _below(tensors, f"optimizer/{number}/").items():
                    index, _, name = key.partition("/")
                    state.setdefault(int(index), {})[name] = value
                optimizer.load_state_dict({"state": state, "param_groups": groups})
            self.groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
            self.step, self.elapsed = int(numbers["step"]), float(numbers["elapsed"])
            self.losses = [(int(step), float(loss)) for step, loss in numbers["losses"]]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise StoreError(f"cannot go on from {checkpoint}: {error}; remove it to start anew") from error
        logger.info("resumed at step %d after %.0f s", self.step, self.elapsed)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
