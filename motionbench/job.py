"""Job: a plan whose names have been looked up."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import motionbench
from motionbench import registry
from motionbench.case import Case, Unit
from motionbench.config import build_config
from motionbench.device import check_dtype, resolve_device
from motionbench.errors import ManifestError
from motionbench.files import file_sha256, hash_json
from motionbench.plan import RunPlan, config_to_json
from motionbench.split import Split, read_split
from motionbench.split_location import place_of

NO_BACKBONE = "none"  # in the records of methods that work on pixels


@dataclass(frozen=True)
class Job:
    """A plan whose names have been looked up: a Method class, a device, and the configuration that run.json keeps."""

    plan: RunPlan
    split: Split
    method_class: Any
    device: str
    configuration: dict[str, Any] = field(repr=False)
    _contents: dict[Path, str | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def backbone(self) -> str:
        """The backbone's name as records carry it."""
        return str(self.configuration["backbone"])

    @property
    def threads(self) -> int | None:
        """The CPU threads that an attempt computes with; None where they change no number."""
        return self.configuration.get("threads")

    @property
    def keeps_adapters(self) -> bool:
        """Whether fits are kept. What works on pixels has nothing to learn: its adapter would copy the reference."""
        return self.plan.keep_adapters and bool(self.method_class.contract.uses_backbone)

    @property
    def config_hash(self) -> str:
        """The hash of the method's configuration as records carry it."""
        return str(self.configuration["config_hash"])

    def selection(self, results: Path) -> dict[str, Any]:
        """Which cases were asked for, and where their split lies from the results folder, as run.json keeps it."""
        plan = self.plan
        asked = {
            **place_of(plan.split, results),
            "categories": [str(category) for category in plan.categories],
            "limit": plan.limit,
            "seeds": list(plan.seeds),
        }
        return asked | ({"levels": [str(level) for level in plan.levels]} if plan.levels else {})

    def facts(self) -> dict[str, Any]:
        """What run.json says of the method, for pages made where it is not installed: contract, license, summary."""
        name = self.plan.method
        return {
            "contract": dataclasses.asdict(self.method_class.contract),
            "license": registry.license_of("methods", name),
            "summary": registry.summary("methods", name),
        }

    def cases(self) -> list[Case]:
        """The cases that were asked for, by id. Raises ManifestError if there is none."""
        plan = self.plan
        chosen = self.split.select(plan.categories, plan.limit)
        cases = sorted((c for c in chosen if not plan.levels or c.level in plan.levels), key=lambda case: case.id)
        if not cases:
            raise ManifestError(f"split {self.split.name!r} has no prompt of level {' or '.join(plan.levels)}")
        return cases

    def units(self) -> list[Unit]:
        """The units of this plan's shard, by reference id and seed; the whole list is cut, whatever is done already."""
        index, count = self.plan.shard
        groups = [(key, tuple(group)) for key, group in groupby(self.cases(), key=lambda case: case.reference_id)]
        units = [Unit(key, seed, group) for key, group in groups for seed in sorted(self.plan.seeds)]
        return units[index - 1 :: count]

    def key(self, case: Case, seed: int) -> str:
        """The record's key: 16 hex digits of all that determines the result.

        The split's name and revision are not in it: adding a case to a split changes no other case's result. Of what a
        method reads beside the split the content is in it: a file that was replaced, or is there now, is another input.
        """
        made_by = {k: v for k, v in self.configuration.items() if k not in ("split", "split_revision")}
        asked = {"id": case.id, "sha256": case.sha256, "caption": case.caption, "prompt": case.prompt, "seed": seed}
        if case.id in self.sources:
            asked["files"] = [self._content(path) for path in self.sources[case.id]]
        return hash_json({"by": made_by, "of": asked})

    @cached_property
    def sources(self) -> dict[str, list[Path]]:
        """Case id -> the files beside the manifest's that its result depends on; none for most methods."""
        return sources_of(self.method_class, self.plan.config, self.split, self.cases())

    def _content(self, path: Path) -> str | None:
        """The SHA-256 of a file as it was when first asked for; None if it is not there or cannot be read."""
        if path not in self._contents:
            try:
                self._contents[path] = file_sha256(path)
            except OSError:
                self._contents[path] = None
        return self._contents[path]


def resolve(plan: RunPlan) -> Job:
    """Looks up all names of a plan. Raises MotionBenchError if one is unknown, before anything is computed."""
    method_class = registry.load("methods", plan.method)
    uses_backbone = bool(method_class.contract.uses_backbone)
    backbone = registry.resolve("backbones", plan.backbone)
    config = plan.config
    if config is None:
        config = build_config(method_class, backbone=backbone, preset=plan.preset, settings=plan.settings)
    dtype = resolve_dtype(plan.dtype, plan.backbone if uses_backbone else None)
    plan = dataclasses.replace(
        plan,
        method=method_class.name,
        config=config,
        preset=None,  # they are in the config now
        settings=(),
        backbone=backbone,
        dtype=dtype,
    )
    split = read_split(plan.split)
    device = device_of(plan, uses_backbone)
    configuration = {
        "method": plan.method,
        "config": config_to_json(config),
        "config_hash": plan.config_hash,
        "backbone": plan.backbone if uses_backbone else NO_BACKBONE,
        "backbone_revision": registry.load("backbones", plan.backbone).revision() if uses_backbone else None,
        "split": split.name,
        "split_revision": split.revision,
        "device_type": device.partition(":")[0],
        "dtype": dtype,
        "motionbench_version": motionbench.__version__,
    }
    if uses_backbone and device == "cpu":  # float sums, and so the last bits, depend on how many there are
        configuration["threads"] = plan.threads
    job = Job(plan, split, method_class, device, configuration)
    _ = job.sources  # what was asked for is there, and so is what the method reads beside it
    return job


def device_of(plan: RunPlan, uses_backbone: bool) -> str:
    """The device that a plan's attempts are made on: with engine ray, of the cluster's nodes. Raises ConfigError."""
    if plan.engine != "ray" or not uses_backbone:
        return resolve_device(plan.device, needs_torch=uses_backbone)
    ray: Any = sys.modules.get("ray")
    gpus = ray.cluster_resources().get("GPU", 0) if ray is not None and ray.is_initialized() else 0
    if plan.device == "cpu" or not gpus:
        return resolve_device(plan.device)
    return "cuda"


def sources_of(method_class: Any, config: Any, split: Split, cases: Sequence[Case]) -> dict[str, list[Path]]:
    """Case id -> the files beside the manifest's that a method's result depends on, whether they are there or not."""
    named: Callable[[Any, Split, Sequence[Case]], dict[str, list[Path]]] | None
    named = getattr(method_class, "sources", None)
    return {} if named is None else named(config, split, cases)


def resolve_dtype(name: str, backbone: str | None) -> str:
    """The number type that `auto` means: what a backbone's weights are made for; float32 without one.

    Raises ConfigError if the name is none of the types.
    """
    if name == "auto":
        return "float32" if backbone is None else registry.load("backbones", backbone).dtype
    return check_dtype(name)
