"""Writes results folders as a run leaves them: records with failures, scores of several metrics, tiny H.264 videos.

The numbers are drawn, not measured; everything that reads them is the product's own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.files import canonical_json, hash_json, write_json
from motionbench.manifest import write_manifest
from motionbench.metric import MetricInfo
from motionbench.record import Reason, Record, Score
from motionbench.schema import SCHEMA
from motionbench.seeds import derive_seed
from motionbench.split import Split, read_split
from motionbench.store import ResultStore
from motionbench.summary import Attempts, make_summary
from motionbench.summary_file import Summary
from motionbench.video import encode_clip

METHODS = (
    "followyourmotion", "twostagelora", "motiondirector", "flowmotion", "smm", "moft",
    "ditflow", "det", "vmc", "motioninversion", "motionclone", "fastvmt",
)  # fmt: skip
CONTROLS = ("backbone", "frozen", "oracle", "reversed")
PIXEL_CONTROLS = ("frozen", "oracle", "reversed")  # these owe nothing to a backbone
HOSTILE = (
    "a <script>alert('x')</script> ball & </script><img src=x onerror=alert(1)>",
    "\"quotes\" and 'apostrophes', a back\\slash, %%DATA%% and ${x}",
    "كرة حمراء تتدحرج على العشب ثم a green cube",
    "a dancing fox 🦊🕺🏽 under \u2028 a line separator and \u202e reversed words",
    '=HYPERLINK("http://example.invalid","click")',
)
TRAINED = {"followyourmotion", "twostagelora", "motiondirector", "det", "vmc", "motioninversion", "fastvmt"}
CENTER = {
    "followyourmotion": 0.78,
    "twostagelora": 0.71, "motiondirector": 0.66, "flowmotion": 0.58, "smm": 0.55, "moft": 0.49,
    "ditflow": 0.61, "det": 0.69, "vmc": 0.47, "motioninversion": 0.6, "motionclone": 0.52, "fastvmt": 0.64,
    "backbone": 0.12, "frozen": 0.0, "oracle": 0.93, "reversed": -0.7,
}  # fmt: skip


MEASURES: dict[str, Any] = {"motion": "motion", "text": "text", "temporal": "time", "appearance": "appearance"}


def _info(
    name: str, better: Any, summary: str, unit: str = "", low: float | None = None, version: int = 1
) -> MetricInfo:
    head, measures = name == "motion_fidelity", MEASURES[name.partition("_")[0]]
    return MetricInfo(name, version, unit, (low, 1.0), better, "a test", summary, headline=head, measures=measures)


INFOS = {
    "motion_fidelity": _info("motion_fidelity", "higher", "How well the motion of the reference is followed", "", -1.0),
    "text_alignment": _info("text_alignment", "higher", "Cosine of the clip's and the prompt's embeddings", "", -1.0),
    "temporal_consistency": _info(
        "temporal_consistency", "higher", "Cosine of neighboring frames' embeddings", "", -1.0
    ),
    "temporal_gap": _info("temporal_gap", "zero", "Temporal consistency less that of the reference"),
    "appearance_leak": _info("appearance_leak", "lower", "Likeness to the reference beyond what the prompt asks for"),
}


@dataclass(frozen=True)
class RunRecipe:
    """One results folder to write."""

    method: str
    seeds: tuple[int, ...] = (0,)
    backbone: str = "tiny"
    weights: str = "0011223344556677"
    tracker: str = "tiny v1"
    model: str | None = None  # what the scores of text alignment name
    version: str = "0.1.0"
    device: str = "cpu"
    config: dict[str, Any] = field(default_factory=dict)
    failing: float = 0.0
    stop_after: int | None = None
    levels: tuple[str, ...] = ()
    videos: bool = True
    rows: bool = False  # a whole summary.json, as `motionbench score` writes it; else the metrics' facts alone
    gate: dict[str, Any] | None = None
    metric_versions: dict[str, int] = field(default_factory=dict)


@cache
def tiny_video(kind: int, content: int) -> bytes:
    """An H.264 file of 17 frames of 64x64: motion `kind`, look `content`."""
    rng = np.random.default_rng(derive_seed(content, "look"))
    low = rng.integers(30, 220, size=(9, 9, 3))
    scene = np.kron(low, np.ones((8, 8, 1)))[:64, :64]
    patch = np.kron(rng.integers(0, 255, size=(4, 4, 3)), np.ones((4, 4, 1)))
    frames = []
    for t in range(17):
        phase = 2 * np.pi * t / 16
        x = int(24 + 20 * [np.cos(phase), t / 8 - 1, np.sin(phase), 1 - t / 8][kind % 4])
        y = int(24 + 20 * [np.sin(phase), 0, np.sin(2 * phase) / 2, t / 8 - 1][kind % 4])
        frame = np.roll(scene, t if kind >= 4 else 0, axis=1).copy()
        frame[y : y + 16, x : x + 16] = patch
        frames.append(frame)
    return encode_clip(Clip(np.stack(frames).astype(np.uint8), 8.0))


def sha256(data: bytes) -> str:
    """In hex."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def write_split(
    folder: Path, references: int = 3, levels: Sequence[Level] = tuple(Level), *, hostile: bool = True
) -> Split:
    """A split of `references` clips in each category, a prompt a level; its first prompts are hostile."""
    cases: list[Case] = []
    for c, category in enumerate(Category):
        for r in range(1, references + 1):
            data = tiny_video(c or 4, r % 2)
            path = folder / f"references/{category}-{r:04d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            for n, level in enumerate(levels):
                prompt = f"a {['red', 'green', 'blue'][n % 3]} cube in scene {r}"
                if hostile and category == "camera" and len(cases) < len(HOSTILE):
                    prompt = HOSTILE[len(cases)]
                reference = path.relative_to(folder).as_posix()
                cases.append(
                    Case(
                        f"{category}/{r:04d}/{n}", category, reference, sha256(data), f"a ball in scene {r}", prompt,
                        level, "CC0-1.0", "rendered for a test",
                    )
                )  # fmt: skip
    write_manifest(folder / "manifest.jsonl", cases)
    return read_split(folder)


def write_run(folder: Path, split: Split, recipe: RunRecipe) -> Path:
    """One results folder. Values depend on method, case and seed only, so that two folders of one recipe agree."""
    configuration = {
        "method": recipe.method,
        "config": recipe.config,
        "config_hash": hash_json(recipe.config),
        "backbone": "none" if recipe.method in PIXEL_CONTROLS else recipe.backbone,
        "backbone_revision": None if recipe.method in PIXEL_CONTROLS else recipe.weights,
        "split": split.name,
        "split_revision": split.revision,
        "device_type": recipe.device,
        "dtype": "float32",
        "motionbench_version": recipe.version,
    }
    manifest = {
        "schema": SCHEMA,
        "run_id": hash_json(configuration)[:12],
        "configuration": configuration,
        "configuration_hash": hash_json(configuration),
        "environment": {
            "device": recipe.device,
            "git": {"commit": "0123456789abcdef", "dirty": False},
            "contract": contract(recipe.method),
        },
        "created": "2026-01-01T00:00:00+00:00",
        "selection": {"split": str(split.root), "categories": [], "limit": None, "seeds": list(recipe.seeds)},
    }
    if recipe.gate is not None:
        manifest["gate"] = recipe.gate
    if recipe.levels:
        manifest["selection"]["levels"] = list(recipe.levels)
    cases = [case for case in split.cases if not recipe.levels or case.level in recipe.levels]
    pairs = [(case, seed) for case in cases for seed in recipe.seeds][: recipe.stop_after]
    records = [make_record(recipe, configuration, manifest["run_id"], case, seed) for case, seed in pairs]
    scores = [score for record in records if record.status == "ok" for score in make_scores(recipe, record)]
    write_json(folder / "run.json", manifest)
    write_lines(folder / "records.jsonl", records)
    write_lines(folder / "scores.jsonl", scores)
    infos = {name: info_of(recipe, name) for name in INFOS}
    summary = Summary(metrics=infos)
    if recipe.rows:
        summary = make_summary(configuration, Attempts.read(ResultStore(folder), infos), {}, infos)
    ResultStore(folder).write_summary(summary)
    for record in records if recipe.videos else ():
        if record.video is not None:
            path = folder / record.video
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(video_of(record.method, record.case_id))
    return folder


def info_of(recipe: RunRecipe, name: str) -> MetricInfo:
    """The metric's facts at the version that this run was scored with."""
    return replace(INFOS[name], version=recipe.metric_versions.get(name, 1))


def write_lines(path: Path, nouns: Sequence[Any]) -> None:
    """JSONL, as the store writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{canonical_json(asdict(noun))}\n" for noun in nouns), encoding="utf-8")


def contract(method: str) -> dict[str, Any]:
    """What run.json may state of a method."""
    return {
        "trains": method in TRAINED,
        "start_latent": "none"
        if method in PIXEL_CONTROLS
        else "noised_reference"
        if method in ("smm", "motionclone")
        else "noise",
        "sees_reference": method not in TRAINED,
        "extra_inputs": [],
        "is_control": method in CONTROLS,
        "uses_backbone": method not in PIXEL_CONTROLS,
    }


def video_of(method: str, case_id: str) -> bytes:
    """The bytes of a generated clip."""
    category, _, n = case_id.split("/")
    return tiny_video(list(Category).index(Category(category)) or 4, 5 + derive_seed(0, method, n) % 2)


def make_record(recipe: RunRecipe, configuration: dict[str, Any], run_id: str, case: Case, seed: int) -> Record:
    """One attempt, failed or not."""
    rng = np.random.default_rng(derive_seed(seed, recipe.method, case.id))
    failed = bool(rng.random() < recipe.failing)
    name = f"videos/{case.id}--s{seed}.mp4"
    return Record(
        key=hash_json([configuration, case.id, seed]),
        run_id=run_id,
        method=recipe.method,
        backbone=configuration["backbone"],
        config_hash=configuration["config_hash"],
        split=configuration["split"],
        split_revision=configuration["split_revision"],
        case_id=case.id,
        category=case.category.value,
        seed=seed,
        status="failed" if failed else "ok",
        reason=[Reason.OOM, Reason.NAN, Reason.TIMEOUT][int(rng.integers(3))] if failed else None,
        error="NotFiniteError: the loss became NaN at step 12 <b>not bold</b>" if failed else None,
        video=None if failed else name,
        video_sha256=None if failed else sha256(video_of(recipe.method, case.id)),
        fit_seconds=float(rng.uniform(30, 60)) if recipe.method in TRAINED else None,
        generate_seconds=None if failed else float(rng.uniform(2, 9)),
        peak_memory_bytes=None if failed else int(rng.integers(1, 5) * 2**29),
        created="2026-01-02T03:04:05+00:00",
    )


def make_scores(recipe: RunRecipe, record: Record) -> list[Score]:
    """One score per metric; now and then one that could not be measured."""
    rng = np.random.default_rng(derive_seed(record.seed, record.method, record.case_id, "scores"))
    shared = np.random.default_rng(derive_seed(0, record.case_id)).normal(0, 0.08)  # a hard case is hard for everybody
    fidelity = float(np.clip(CENTER.get(record.method, 0.5) + shared + rng.normal(0, 0.06), -1, 1))
    values: dict[str, float | None] = {
        "motion_fidelity": None if rng.random() < 0.01 else fidelity,
        "text_alignment": float(0.3 + 0.02 * rng.normal() - 0.03 * (record.method in TRAINED)),
        "temporal_consistency": float(0.96 + 0.01 * rng.normal()),
        "temporal_gap": float(0.01 * rng.normal()),
        "appearance_leak": float(abs(0.1 + 0.05 * rng.normal())),
    }
    made = []
    for name, value in values.items():
        details: dict[str, Any] = {"scored_at": "17x64x64"}
        if name == "motion_fidelity":
            details |= {"tracker": recipe.tracker, "direction": fidelity, "speed_ratio": float(rng.normal(0, 0.1))}
        if name == "text_alignment" and recipe.model is not None:
            details["model"] = recipe.model
        note = "static reference" if value is None else ""
        made.append(Score(record.key, name, info_of(recipe, name).version, value, note, details, 0.1))
    return made
