"""What scoring costs: over decoding, tracking and embedding; with a warm cache; and against torchmetrics' own loop.

python benchmarks/scoring.py [--split lite] [--limit N] [--tracker tiny]
python benchmarks/scoring.py --real [--pair GENERATED REFERENCE] [--threads 2]

--real: a pair of real size instead, 49 frames of 832x480 by the tracker `real`, or the clips that are named: what a
user waits for, in seconds of the clock on so many threads.

Otherwise seconds are of the processor (this process and the video decoder), in one thread, so that what else runs on
the machine counts little. Models are loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from motionbench.metrics.embed import ClipEmbedder, shared_embedder
from motionbench.metrics.image_models import TINY, ClipModel, load_clip
from motionbench.metrics.temporal import consecutive_cosine
from motionbench.metrics.text_alignment import mean_text_cosine
from torchmetrics.functional.pairwise import pairwise_cosine_similarity
from torchmetrics.multimodal import CLIPScore

from motionbench.case import Level
from motionbench.clip import Clip
from motionbench.decoder import DECODER
from motionbench.device import PeakMemory, core_count, processor_name
from motionbench.metric import MetricRuntime
from motionbench.pair import SHAPE, measure, to_sample
from motionbench.plan import RunPlan
from motionbench.runner import run
from motionbench.scorer import DEFAULT_METRICS, ScorePlan, ScoreResult, ready_metrics, score
from motionbench.split import Split, read_split
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache

METRICS = (
    "motion_fidelity", "motion_fidelity_smm", "motion_fidelity_released", "motion_fidelity_det", "camera_agreement",
    "speed_ratio", "motion_smoothness", "dynamic_degree", "text_alignment", "temporal_consistency", "temporal_gap",
    "appearance_leak",
)  # fmt: skip
MOST_OVER_FEATURES, LEAST_WARM = 1.5, 20.0
MOST_REAL, MOST_REAL_WARM = 15.0, 0.3  # seconds for a real pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="lite")
    parser.add_argument("--limit", type=int, help="references per category; default: all")
    parser.add_argument("--tracker", default="tiny")
    parser.add_argument("--real", action="store_true", help="a pair of real size by the tracker `real`")
    parser.add_argument("--pair", nargs=2, type=Path, metavar=("GENERATED", "REFERENCE"), help="clips for --real")
    parser.add_argument("--threads", type=int, default=2, help="of --real")
    options = parser.parse_args()
    if options.real:
        time_real_pair(options.pair, options.threads)
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), read_split(options.split), options.tracker)
        bench.make(options.limit)
        bench.loaded()
        print(f"{bench.pairs} clips and their references, tracker {options.tracker}, {len(METRICS)} metrics, CPU time")
        features = seconds(bench.compute_features)
        first, second = seconds(bench.scoring("cold")), seconds(bench.scoring("warm"))
        line("decode + track + embed once", features, bench.pairs)
        over, faster = f"{first / features:.2f} x the features", f"{first / second:.1f} x faster"
        line("first scoring, all metrics", first, bench.pairs, f"{over} (at most {MOST_OVER_FEATURES})")
        line("second scoring, warm cache", second, bench.pairs, f"{faster} (at least {LEAST_WARM:.0f})")
        compare_with_torchmetrics(bench)
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, one thread")


def time_real_pair(pair: list[Path] | None, threads: int) -> None:
    """All default metrics that can be had here on one pair, first with nothing known, then with a warm cache."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["MOTIONBENCH_CACHE"] = str(folder / "cache")
        generated, reference = pair or [draw_clip(folder / f"{seed}.mp4", seed) for seed in (0, 1)]
        Clip.read(reference)  # the decoder is running, as it is from the second clip on
        result = ScoreResult()
        metrics = ready_metrics(DEFAULT_METRICS, MetricRuntime("cpu"), result)
        print(f"{', '.join(metrics)} by the tracker real, {threads} threads; left out: {', '.join(result.unavailable)}")
        for name, most in (("first", MOST_REAL), ("warm cache", MOST_REAL_WARM)):
            memory = PeakMemory("cpu")
            memory.start()
            began = time.perf_counter()
            clips = Clip.read(generated), Clip.read(reference)
            start, used = time.perf_counter(), _spent()
            eyes = TrackCache("real", device="cpu", grid=SHAPE.grid)
            sample = to_sample(*clips, eyes)
            values = [f"{each} {measure(metric, sample).value}" for each, metric in metrics.items()]
            spent, used = time.perf_counter() - start, _spent() - used
            told = f"{used:.2f} s of the processor, {start - began:.2f} s of decoding before"
            told += f", peak {memory.read() / 2**30:.2f} GiB"
            print(f"{name:12s}{spent:7.2f} s (at most {most} s), {told}; {', '.join(values)}")
        shape = "x".join(map(str, sample.reference.frames.shape[:3]))
    print(f"{shape}, {processor_name()}, {core_count()} cores, torch {torch.__version__}")


def draw_clip(path: Path, seed: int) -> Path:
    """49 frames of 832x480: a picture of soft noise that pans, and a square of it that goes its own way."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(0, 255, (90, 160, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    thing, frames = picture[:160, :160], []
    for t in range(49):
        frame = picture[2 * t : 2 * t + 480, 3 * t : 3 * t + 832].copy()
        left = 100 + (8 - 16 * seed) * t + 400 * seed
        frame[160:320, left : left + 160] = thing
        frames.append(frame)
    Clip(np.stack(frames), 16.0).write(path)
    return path


def line(name: str, spent: float, pairs: int, told: str = "") -> None:
    """One line of the table."""
    print(f"{name:32s} {spent:8.2f} s  {1000 * spent / pairs:8.1f} ms a clip  {told}")


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process and of the video decoder, which is a process of its own, for `work`."""
    DECODER.stop()  # the decoder is counted when it ends
    start = _spent()
    work()
    DECODER.stop()
    return _spent() - start


def _spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


class Bench:
    """A run of `reversed`: every generated clip is another one than its reference and moves as much."""

    def __init__(self, folder: Path, split: Split, tracker: str) -> None:
        self.folder, self.split, self.tracker = folder, split, tracker
        self.store = ResultStore(folder / "results")
        self.pairs = 0

    def make(self, limit: int | None) -> None:
        """Makes the clips; not timed."""
        plan = RunPlan("reversed", split=self.split.name, limit=limit, levels=(Level.SCENE,), device="cpu")
        run(plan, self.store)
        self.pairs = len(self.store.records())

    def clips(self) -> list[Callable[[], Clip]]:
        """Each generated clip, and each reference once, at the shape at which it is scored."""
        cases = self.split.by_id()
        records = self.store.records()
        references = {cases[r.case_id].reference_id: cases[r.case_id] for r in records}
        made = [lambda r=r: self.store.read_video(r) for r in records]
        return made + [lambda c=c: self.split.read_reference(c) for c in references.values()]

    def compute_features(self) -> None:
        """Decoding, tracking and embedding, once for each clip."""
        tracks = TrackCache(self.tracker, device="cpu", grid=SHAPE.grid, folder=self.folder / "features")
        embedder = ClipEmbedder(self.loaded(), self.folder / "features")
        for read in self.clips():
            clip = read()
            tracks(clip)
            embedder.frames(clip)

    def scoring(self, name: str) -> Callable[[], None]:
        """The scorer itself, on a copy of the run without scores, as a new process would: nothing in memory.

        The first finds no feature on disk, the second finds all.
        """
        os.environ["MOTIONBENCH_CACHE"] = str(self.folder / "cache")
        shared_embedder.cache_clear()
        shared_embedder(TINY, "cpu")
        shutil.copytree(self.store.folder, self.folder / name)

        def work() -> None:
            result = score(ResultStore(self.folder / name), self.split, ScorePlan(METRICS, self.tracker, "cpu"))
            if result.new != self.pairs * len(METRICS) or result.errors:
                raise SystemExit(f"not all could be scored: {result}")

        return work

    def loaded(self) -> ClipModel:
        """The image-text model, loaded once."""
        if not hasattr(self, "_model"):
            self._model = load_clip(TINY, "cpu")
            ClipEmbedder(self._model, self.folder / "w").text("a")  # what open_clip loads late
        return self._model


Clips = list[tuple[Clip, str]]  # with their prompts


def compare_with_torchmetrics(bench: Bench) -> None:
    """Text and time on the same frames and weights: by torchmetrics, frame by frame and clip by clip, and here."""
    cases = bench.split.by_id()
    clips = [(bench.store.read_video(r), cases[r.case_id].prompt) for r in bench.store.records()]
    model, folder = bench.loaded(), bench.folder / "throughput"
    ways: dict[str, Callable[[], list[float]]] = {
        "torchmetrics, by frame": lambda: torchmetrics_loop(model, clips, batch=1),
        "torchmetrics, by clip": lambda: torchmetrics_loop(model, clips, batch=1000),
        "here": lambda: own_way(model, clips, folder),
    }
    frames = sum(len(clip) for clip, _ in clips)
    values: dict[str, list[float]] = {}
    speed = {}
    for name, work in ways.items():
        speed[name] = frames / seconds(lambda name=name, work=work: values.update({name: work()}))
        print(f"text + time, {name:24s} {speed[name]:8.0f} frames/s")
    # CLIPScore clamps at 0 what is below.
    apart = max(
        abs(a - max(b, 0)) for name in list(ways)[:2] for a, b in zip(values[name], values["here"], strict=True)
    )
    first, second = (speed["here"] / speed[name] for name in list(ways)[:2])
    print(f"text + time, here: {first:.1f} and {second:.1f} x torchmetrics; values at most {apart:.1e} apart")


def own_way(model: ClipModel, clips: Clips, folder: Path) -> list[float]:
    """Text alignment and temporal consistency of each clip as the metrics compute them, with an empty cache."""
    embedder, found = ClipEmbedder(model, folder), []
    for clip, prompt in clips:
        frames = embedder.frames(clip)
        found += [mean_text_cosine(frames, embedder.text(prompt)), consecutive_cosine(frames)]
    return found


def torchmetrics_loop(model: ClipModel, clips: Clips, *, batch: int) -> list[float]:
    """The same by CLIPScore, which takes one text for each frame, and by torchmetrics' pairwise cosine.

    CLIPScore gives no features away, so a second pass over the frames is needed for time.
    """
    score, found = CLIPScore(model_name_or_path=lambda: (_AsTransformers(model), _Processor(model))), []
    for clip, prompt in clips:
        score.reset()
        rows = []
        with torch.inference_mode():
            for start in range(0, len(clip), batch):
                frames = clip.frames[start : start + batch]
                score.update(list(torch.from_numpy(frames).permute(0, 3, 1, 2)), [prompt] * len(frames))
                rows.append(model.model.encode_image(model.preprocess(frames)))
        embedded = torch.cat(rows)
        steps = pairwise_cosine_similarity(embedded[:-1], embedded[1:]).diagonal()
        found += [float(score.compute()) / 100, float(steps.mean())]
    return found


class _AsTransformers(torch.nn.Module):
    """The two calls that CLIPScore makes of a transformers model, answered by open_clip."""

    def __init__(self, model: ClipModel) -> None:
        super().__init__()
        self.clip = model
        self.config = _Config()

    @property
    def device(self) -> torch.device:
        return torch.device(self.clip.device)

    def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.clip.model.encode_image(pixels)

    def get_text_features(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.clip.model.encode_text(tokens)


class _Config:
    class text_config:
        max_position_embeddings = 77


class _Processor:
    """What CLIPScore asks of a transformers processor, answered by open_clip's."""

    def __init__(self, model: ClipModel) -> None:
        self.clip = model

    def __call__(self, text: Any = None, images: Any = None, **more: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        if images is not None:
            frames = torch.stack([image.permute(1, 2, 0) for image in images]).numpy()
            found["pixel_values"] = self.clip.preprocess(frames)
        if text is not None:
            found["input_ids"] = self.clip.tokenize(list(text))
            found["attention_mask"] = torch.ones_like(found["input_ids"])
        return found


if __name__ == "__main__":
    main()
