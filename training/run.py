"""A training run with a wall-clock budget: schedule, moving average of the weights, resumable checkpoint."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from motionbench.errors import StoreError
from motionbench.seeds import derive_seed

logger = logging.getLogger(__name__)
WARMUP_STEPS = 200
CHECKPOINT_SECONDS = 60.0


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


def describe_run(run: Run) -> dict[str, Any]:
    """What a model card says of a finished run."""
    a = run.arguments
    return {
        "steps": run.step,
        "batch": a.batch,
        "training_seconds": round(run.elapsed, 1),
        "seed": a.seed,
        "device": torch.cuda.get_device_name() if str(a.device).startswith("cuda") else "cpu",
        "vae": a.vae is not None,
        "loss": [[step, round(loss, 4)] for step, loss in run.losses[:: max(1, len(run.losses) // 20)]],
    }


class Run:
    """A model in training: AdamW under a cosine over the wall-clock budget, and a moving average of the weights.

    With a time budget the number of steps depends on the machine; two runs are equal step by step, not in length.
    """

    def __init__(self, model: nn.Module, arguments: argparse.Namespace) -> None:
        self.model, self.arguments = model, arguments
        self.average = copy.deepcopy(model).requires_grad_(False)
        decay = [p for p in model.parameters() if p.ndim >= 2]
        plain = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        on_gpu = str(arguments.device).startswith("cuda")
        self.optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate, betas=(0.9, 0.98), fused=on_gpu)
        self.step, self.elapsed = 0, 0.0
        self.losses: list[tuple[int, float]] = []
        self._checkpoint = arguments.out / "checkpoint.safetensors"
        if self._checkpoint.exists():
            self._resume()

    def loop(self, loss_of_step: Callable[[int], Tensor]) -> None:
        """Train until the budget is spent. loss_of_step(step) renders the step's data and returns its loss, without
        waiting for the device."""
        budget, begun, saved, first = (
            self.arguments.minutes * 60,
            time.monotonic() - self.elapsed,
            self.elapsed,
            self.step,
        )
        start_elapsed, log_every = self.elapsed, 50
        while (elapsed := time.monotonic() - begun) < budget:
            self._set_learning_rate(elapsed / budget)
            loss = loss_of_step(self.step)
            self._update(loss)
            self.step += 1
            if self.step % log_every == 0 or self.step == first + 1:
                self.losses.append((self.step, loss.item()))  # the only wait for the device
                pace = (self.step - first) / max(time.monotonic() - begun - start_elapsed, 1e-9)
                logger.info(
                    "step %d  loss %.4f  %.2f steps/s  %.0f%%",
                    self.step,
                    self.losses[-1][1],
                    pace,
                    100 * elapsed / budget,
                )
            if elapsed - saved > CHECKPOINT_SECONDS:
                self.elapsed = saved = elapsed
                self.save()
        self.elapsed = time.monotonic() - begun
        self.save()

    def _set_learning_rate(self, progress: float) -> None:
        warm = min(1.0, (self.step + 1) / WARMUP_STEPS)
        factor = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimizer.param_groups:
            group["lr"] = self.arguments.learning_rate * factor

    def _update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        average = get_ema_multi_avg_fn(keep)
        average(list(self.average.parameters()), list(self.model.parameters()), self.step)

    def save(self) -> None:
        """Write the checkpoint to a temporary name, then rename it, so that a killed run leaves a whole one.

        One safetensors file, the numbers as JSON in its header: reading it runs no code, as reading a pickle would.
        """
        optimizer = self.optimizer.state_dict()
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"optimizer/{i}/{k}": v for i, state in optimizer["state"].items() for k, v in state.items()}
        numbers = {
            "step": self.step,
            "elapsed": self.elapsed,
            "losses": self.losses,
            "groups": optimizer["param_groups"],
        }
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self._checkpoint.with_suffix(".tmp")
        # clone: a tied tensor would be refused
        plain = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
        save_file(plain, partial, metadata={"run": json.dumps(numbers)})
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        """Go on from the checkpoint. Raises StoreError if it is not one of this model."""
        try:
            with safe_open(self._checkpoint, framework="pt") as file:
                numbers = json.loads(file.metadata()["run"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            self.model.load_state_dict(_below(tensors, "model/"))
            self.average.load_state_dict(_below(tensors, "average/"))
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(tensors, "optimizer/").items():
                index, _, name = key.partition("/")
                state.setdefault(int(index), {})[name] = value
            self.optimizer.load_state_dict({"state": state, "param_groups": numbers["groups"]})
            self.step, self.elapsed = int(numbers["step"]), float(numbers["elapsed"])
            self.losses = [(int(step), float(loss)) for step, loss in numbers["losses"]]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise StoreError(f"cannot go on from {self._checkpoint}: {error}; remove it to start anew") from error
        logger.info("resumed at step %d after %.0f s", self.step, self.elapsed)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
