"""What scoring costs over its features, what the caches save, and text and time against torchmetrics' own loop.

python benchmarks/scoring.py [--references 4] [--tracker tiny]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from motionbench.metrics.embed import TINY, ClipEmbedder, load_clip
from motionbench.metrics.temporal import consecutive_cosine
from motionbench.metrics.text_alignment import mean_text_cosine
from torchmetrics.functional import pairwise_cosine_similarity

from motionbench import registry
from motionbench.clip import Clip
from motionbench.metric import MetricSetting, Sample
from motionbench.split import read_split
from motionbench.track_cache import TrackCache

TRACK_METRICS = (
    "motion_fidelity", "motion_fidelity_smm", "motion_fidelity_released", "motion_fidelity_det", "camera_agreement",
    "speed_ratio", "motion_smoothness", "dynamic_degree",
)  # fmt: skip
CLIP_METRICS = ("text_alignment", "temporal_consistency", "temporal_gap", "appearance_leak")


def timed(work: Callable[[], object]) -> float:
    """Seconds of CPU that `work` takes: what else runs on the machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=4)
    parser.add_argument("--tracker", default="tiny")
    options = parser.parse_args()
    split = read_split("lite")
    cases = list({c.reference_id: c for c in split.cases}.values())[:: max(1, 40 // options.references)]
    cases = cases[: options.references]
    model = load_clip(TINY, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def features() -> None:
            tracks, embedder = fresh(root / "a")
            for case in cases:
                for clip in pair(case):
                    tracks(clip)
                    embedder.frames(clip)

        def fresh(where: Path) -> tuple[TrackCache, ClipEmbedder]:
            return TrackCache(options.tracker, device="cpu", grid=20, folder=where), ClipEmbedder(model, where)

        def pair(case: object) -> tuple[Clip, Clip]:
            reference = split.read_reference(case)  # type: ignore[arg-type]
            return Clip(reference.frames[::-1].copy(), reference.fps), reference

        def scoring(where: Path) -> None:
            tracks, embedder = fresh(where)
            made = [registry.load("metrics", name).create(MetricSetting()) for name in TRACK_METRICS]
            made += [registry.load("metrics", name)(embedder) for name in CLIP_METRICS]
            for case in cases:
                generated, reference = pair(case)
                sample = Sample(generated, reference, case.prompt, case.caption, case.id, case.category.value, tracks)
                for metric in made:
                    metric.measure(sample)

        warm_up = ClipEmbedder(model, root / "w")
        warm_up.text("a")
        cost = timed(features)
        first, second = timed(lambda: scoring(root / "b")), timed(lambda: scoring(root / "b"))
        print(f"{len(cases)} pairs, tracker {options.tracker}, {len(TRACK_METRICS) + len(CLIP_METRICS)} metrics")
        print(f"decode + track + embed once        {cost:8.2f} s")
        print(f"first scoring, all metrics         {first:8.2f} s   {first / cost:6.2f} x the features")
        print(f"second scoring, features cached    {second:8.2f} s   {first / second:6.1f} x faster")
        compare_with_torchmetrics(model, [pair(case)[1] for case in cases], cases[0].prompt, root)


def compare_with_torchmetrics(model: object, clips: list[Clip], prompt: str, root: Path) -> None:
    """Text and time of the same frames and weights: frame by frame as torchmetrics' loop goes, and as we do."""

    def loop() -> None:
        m = model
        for clip in clips:
            with torch.inference_mode():
                rows = []
                for t in range(len(clip)):
                    image = m.model.encode_image(m.preprocess(clip.frames[t : t + 1]))  # type: ignore[attr-defined]
                    text = m.model.encode_text(m.tokenize([prompt]))  # type: ignore[attr-defined]
                    pairwise_cosine_similarity(image, text)
                    rows.append(image)
                for a, b in pairwise(rows):
                    pairwise_cosine_similarity(a, b)

    def ours() -> None:
        embedder = ClipEmbedder(model, root / "t")  # type: ignore[arg-type]
        for clip in clips:
            frames = embedder.frames(clip)
            mean_text_cosine(frames, embedder.text(prompt))
            consecutive_cosine(frames)

    frames = sum(map(len, clips))
    loop_seconds, our_seconds = timed(loop), timed(ours)
    print(f"text + time, torchmetrics' loop    {frames / loop_seconds:8.0f} frames/s")
    print(
        f"text + time, here                  {frames / our_seconds:8.0f} frames/s   {loop_seconds / our_seconds:6.1f} x"
    )


if __name__ == "__main__":
    main()
