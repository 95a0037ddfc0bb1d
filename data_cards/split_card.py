"""The card of a rendered split: front matter for the Hugging Face Hub, and what a reader should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from motionbench.case import Case
from motionbench.files import write_atomically

from .dataset_card import render
from .world.rendering import FPS, FRAMES, HEIGHT, WIDTH
from .world.truth import GRID, Truth

_USES = {
    "mini": "a first run, a smoke test, and timing; four references say next to nothing about a method",
    "lite": "comparing methods on the embedded backbone; references, not cases, are the unit of its intervals",
    "crowd": "asking where methods break as objects grow more: three, four and five in turn",
    "tuning": "choosing hyper-parameters, and nothing else: no published number may come from it",
}

_LEAD = "{n_references} rendered reference clips in {categories}, {n_cases} cases, exact point tracks."
_SECTIONS = {
    "Which MotionBench this is, and which it is not": """\
A benchmark for *video motion transfer*, after the four categories named in Follow-Your-Motion (arXiv:2506.05207),
whose own clips were not published. It is a reconstruction in kind, with clips of a procedural world: scores on it
are not those of the paper. It is not the video question-answering MotionBench (arXiv:2501.02955).""",
    "Composition": """\
Each clip has {frames} frames of {width} x {height} pixels at {fps:g} frames per second. H.264, yuv420p, near
lossless.

| category | references | cases | motion families |
|---|---|---|---|
{table}

Beside each `NNNN.mp4` lies `NNNN.truth.npz` (NumPy, no pickle): `points` ({n_points}, {frames}, 2) and `visible`
({n_points}, {frames}), the tracks of a {grid} x {grid} grid of first-frame points in pixels (x, y; pixel centers at
integers); `owner`, the layer each point lies on (-1: the scene); `places`, the objects' centers or the figure's
joints in pixels; `motion_*`, all that moves (camera path, object paths, joint angles) in units of half a frame;
`header`, JSON. Points may be tracked behind others and outside the frame; `visible` says where they can be seen.""",
    "Sources and consent": """\
Every clip was rendered by this project's own code (`motionbench.data_cards.world`). No person, no film and no data
set of others is in them. Clips, prompts and ground truth are dedicated to the public domain (CC0-1.0).""",
    "Collection": """\
`motionbench data build {name}` makes the split again, with the same manifest, tracks and decoded frames
(`motionbench data check {name} --rebuild` compares). Motions come from families and seeds that no training clip of
the embedded models is drawn from. A reference is kept only if playing it backwards is clearly the opposite motion:
the best cosine match of its true tracks with their reversal is below -0.7.""",
    "Prompts": """\
Written by a grammar of 64 words. They name content only; motion is just `moving` (`moves` of a camera), so that the
words do not give away what the reference should. Levels: `caption` repeats the reference's own words, `subject`
changes color and kind of every subject, `scene` changes subjects and scene.{levels}""",
    "Uses": """\
For {uses}. Never train on it, and tune hyper-parameters on `tuning_references` of the same module instead.""",
    "Limits": """\
Small frames, flat layers, no perspective, no lighting, a few dozen words: a method that does well here has
transferred motion in a toy world. Scores on the embedded backbone compare with each other only.""",
}


def write_card(path: Path, name: str, cases: Sequence[Case], truths: Sequence[Truth]) -> None:
    """Write README.md of a split: the same text for the same cases."""
    references = Counter(truth.category for truth in truths)
    counts = Counter(str(case.category) for case in cases)
    families = {c: ", ".join(sorted({t.family for t in truths if t.category == c})) for c in references}
    levels = Counter(str(case.level) for case in cases)
    facts = {
        "name": name, "n_references": len(truths), "n_cases": len(cases), "uses": _USES[name],
        "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "fps": FPS, "grid": GRID, "n_points": GRID**2,
        "categories": "four categories" if len(references) == 4 else f"category {' and '.join(references)}",
        "table": "\n".join(f"| `{c}` | {references[c]} | {counts[c]} | {families[c]} |" for c in references),
        "levels": f" Cases: {', '.join(f'{n} `{level}`' for level, n in levels.items())}.",
    }  # fmt: skip
    front = {
        "pretty_name": f"MotionBench {name} (rendered)", "license": "cc0-1.0", "language": ["en"],
        "task_categories": ["text-to-video"], "size_categories": ["n<1K"],
        "tags": ["video-motion-transfer", "benchmark", "synthetic", "point-tracks"],
    }  # fmt: skip
    sections = {heading: text.format(**facts) for heading, text in _SECTIONS.items()}
    write_atomically(path, render(front, f"MotionBench `{name}`", sections, _LEAD.format(**facts)).encode())
