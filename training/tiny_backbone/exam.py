"""The embedded backbone's exam: do 200 clips of held-out prompts show what they should, and move as they are told?

Example:  python -m training.tiny_backbone.exam --out out/exam
It writes exam.json, from which the backbone's model card is made. Judges are a probe for content (`content_probe`) and
point tracks for motion; both are put to the renderer's own clips of the same prompts too, which shows their ceiling.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from motionbench.metrics.tiny_clip.content import ContentWords
from numpy.typing import NDArray
from scipy.stats import binomtest

from motionbench.backbone import make_backbone
from motionbench.clip import Clip
from motionbench.method import Runtime
from motionbench.registry import load
from motionbench.tracks import Tracks, grid_queries

from .content_probe import LOOKS, ContentProbe, train_probe
from .exam_clips import HELD_OUT_SEED, Frames, Prompts, decoded_truth, generate, held_out, read_strips
from .named_motion import camera_change, caption_to_demands, is_met, mean_cosine, subject_change

logger = logging.getLogger(__name__)
GRID_SIDE = 20
MOTION_WORDS = ("moving", "moves")


def share(right: int, n: int) -> dict[str, Any]:
    """right of n as a share with its 95% Wilson interval; None where n is 0."""
    if not n:
        return {"n": 0, "share": None, "low": None, "high": None}
    interval = binomtest(right, n).proportion_ci(method="wilson")
    return {"n": n, "share": right / n, "low": float(interval.low), "high": float(interval.high)}


def tally(verdicts: Iterable[tuple[str, bool]]) -> dict[str, dict[str, Any]]:
    """Shares by name, sorted."""
    found: dict[str, list[bool]] = defaultdict(list)
    for name, right in verdicts:
        found[name].append(right)
    return {name: share(sum(found[name]), len(found[name])) for name in sorted(found)}


def examine_content(prompts: Prompts, clips: Sequence[Frames], probe: ContentProbe) -> dict[str, Any]:
    """Shares of clips whose scene, colors (all of them) and shapes (each where its color is) are the prompt's.

    `all`: every clip. `one`, `several`: clips of one named subject, of more. `subjects`: shape right, by kind.
    """
    verdicts, by_kind = [], []
    for i, frames in enumerate(clips):
        _, pairs = probe.words.key(prompts.captions[i].split())
        colors, kinds = tuple(str(c) for c, _ in pairs), tuple(str(k) for _, k in pairs)
        seen = probe.judge(frames, colors)
        right = {
            "scene": seen.scene == prompts.labels[i]["scene"],
            "color": seen.colors == tuple(sorted(colors)),
            "shape": seen.kinds == kinds,
        }
        for group in ("all", "one" if len(pairs) == 1 else "several"):
            verdicts += [(f"{group} {name}", value) for name, value in right.items()]
        by_kind += [(kind, kind == found) for kind, found in zip(kinds, seen.kinds, strict=True)]
    table: dict[str, Any] = defaultdict(dict)
    for name, value in tally(verdicts).items():
        group, what = name.split()
        table[group][what] = value
    return {**table, "subjects": tally(by_kind)}


@dataclass(frozen=True)
class Seen:
    """A clip's tracks, and the color of the subject that each starts on ("" on the scene)."""

    tracks: Tracks
    tags: NDArray[np.str_]


def follow(frames: Frames, fps: float, tracker: Any, probe: ContentProbe) -> Seen:
    """Tracks of a full-frame grid."""
    queries = grid_queries(frames.shape[1], frames.shape[2], GRID_SIDE)
    return Seen(tracker.track(Clip(frames, fps), queries), probe.tag(frames[0], queries))


def examine_directions(captions: Sequence[str], seen: dict[int, Seen]) -> dict[str, Any]:
    """Named directions met, by kind; `clips`: all directions of a clip's caption."""
    by_kind, by_clip = [], []
    for i in sorted(seen):
        demands = caption_to_demands(captions[i])
        met = [is_met(d, seen[i].tracks, seen[i].tags) for d in demands]
        by_kind += [(d.kind, m) for d, m in zip(demands, met, strict=True)]
        by_clip += [("clips", all(met))] if met else []
    return {**tally(by_clip), "kinds": tally(by_kind)}


def examine_diversity(captions: Sequence[str], seen: dict[int, Seen]) -> dict[str, Any]:
    """How far captions that tell no direction leave it open: share of clips that move, mean cosine of their headings.

    `silent` captions hold no motion word at all; `moving` ones say that there is motion.
    """
    headings: dict[str, list[Any]] = {"silent": [], "moving": []}
    for i in sorted(seen):
        about_camera = captions[i].startswith("the ")
        tracks, tags = seen[i].tracks, seen[i].tags
        change = camera_change(tracks) if about_camera else subject_change(tracks, tags != "")
        moved = change is not None and float(np.linalg.norm(change[:2])) > 0.01
        words = captions[i].split()
        group = "moving" if any(w in words for w in MOTION_WORDS) else "silent"
        headings[group].append(change[:2] if moved and change is not None else None)
    found = {}
    for group, rows in headings.items():
        moving = [h for h in rows if h is not None]
        found[group] = {**share(len(moving), len(rows)), "mean_cosine": mean_cosine(np.array(moving))}
    return found


def examine_motion(prompts: Prompts, clips: Sequence[Frames], fps: float, judge: tuple[Any, ContentProbe]) -> Any:
    """Directions, and what is left open, by one tracker."""
    told, open_ = {}, {}
    for i, frames in enumerate(clips):
        if caption_to_demands(prompts.captions[i]):
            told[i] = follow(frames, fps, *judge)
        elif prompts.labels[i]["motion"] is None:
            open_[i] = follow(frames, fps, *judge)
    return {
        "directions": examine_directions(prompts.captions, told),
        "open": examine_diversity(prompts.captions, open_),
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for exam.json and the probe")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--clips", type=Path, help="npz of encoded strips made before, instead of generating")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--ceiling", type=int, default=200, help="rendered clips that show the content judge's ceiling")
    parser.add_argument("--motion-ceiling", type=int, default=200, help="of them, how many the trackers judge")
    parser.add_argument("--trackers", nargs="+", default=["tiny", "lk"])
    parser.add_argument("--decoded", type=int, default=200, help="clips for the probe that go through the VAE")
    parser.add_argument("--blurred", type=int, default=1600, help="clips for the probe that are blurred instead")
    parser.add_argument("--steps", type=int, default=1600, help="training steps of the probe")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def get_probe(args: argparse.Namespace, world: Any, backbone: Any) -> ContentProbe:
    """The probe kept in the output folder, or a newly trained one, which is then kept there."""
    from safetensors.torch import load_file, save_file

    words, path = ContentWords.from_world(world, "cpu"), args.out / "probe.safetensors"
    if path.exists():
        probe = ContentProbe(words)
        probe.load_state_dict(load_file(path))
        return probe.to(args.device).eval()
    sizes = {"decoded": args.decoded, "blurred": args.blurred, "steps": args.steps}
    probe = train_probe(world, backbone, words, **sizes, device=args.device)
    save_file(probe.state_dict(), path)
    return probe


def main() -> None:
    """Run the exam and write exam.json."""
    args = parse()
    logging.basicConfig(level=logging.INFO)
    args.out.mkdir(parents=True, exist_ok=True)
    world = load("worlds", "procedural")()
    backbone = make_backbone(Runtime(backbone=args.backbone, device=args.device))
    prompts = held_out(world, args.count)
    probe = get_probe(args, world, backbone)
    made = read_strips(args.clips, backbone, args.count) if args.clips else generate(backbone, prompts.captions)
    sets = {  # the probe looks at some frames only, and the VAE is frame-wise: no need to decode the others for it
        "generated": (made, made),
        "rendered": (
            decoded_truth(prompts, backbone, min(args.ceiling, args.count), LOOKS),
            decoded_truth(prompts, backbone, min(args.motion_ceiling, args.count), backbone.frames),
        ),
    }
    exam: dict[str, Any] = {
        "prompts": args.count, "seed": HELD_OUT_SEED, "guidance": backbone.guidance, "steps": backbone.steps,
        "probe": {"decoded_clips": args.decoded, "blurred_clips": args.blurred, "steps": args.steps},
    }  # fmt: skip
    for name, (looks, clips) in sets.items():
        exam[name] = {"clips": len(looks), "content": examine_content(prompts, looks, probe), "motion": {}}
        for tracker in args.trackers:
            judge = load("trackers", tracker).create(args.device), probe
            exam[name]["motion"][tracker] = examine_motion(prompts, clips, backbone.fps, judge)
            logger.info("%s judged by %s", name, tracker)
    (args.out / "exam.json").write_text(json.dumps(exam, indent=1) + "\n")


if __name__ == "__main__":
    main()
