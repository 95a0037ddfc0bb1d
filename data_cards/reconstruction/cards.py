"""The card of the reconstruction: what it holds, what it cannot hold, and what nobody has looked at yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from motionbench.case import Category
from motionbench.marked_page import table

from ..dataset_card import render
from ..hub.licenses import hub_license
from .recipe import SETS, Entry, read_recipe

UNVERIFIED = """\
The recipe was written from the public lists of the two sets (sequence names, DAVIS's frame counts), without access to
their pictures. Therefore unverified, until somebody builds and looks:

- that each caption fits its clip in detail (captions name what the sequence is known for, and no more);
- that the camera moves in the named way within the 81 frames taken from a TUM RGB-D sequence: the poses written beside
  each clip (`NNNN.camera.npz`) and `motionbench data check` tell;
- that the makers' frame counts of DAVIS hold for every packaging of it (the build checks them and stops);
- that the TUM RGB-D benchmark is under CC-BY-4.0 as a whole: so its makers' page is known to say, it was not read again
  (what DAVIS says of its own clips was: CC-BY-4.0, others by their origins);
- that no frames were dropped by the Kinect within the frames taken (times are in `NNNN.camera.npz`);
- hashes: a lock is written by whoever builds first, and `--lock` compares another's build with it."""
GAPS = """\
Filmed camera motion comes from one set of indoor sequences (TUM RGB-D, hand-held or on a robot): no drone shots, no
zooms of a lens, no landscapes. Of complex human motion there is what DAVIS filmed: sports and dance of few seconds, 33
to 81 frames, no crowds and no gestures close by. DAVIS's cameras follow their subjects, so that the camera moves in
most clips of every category."""
SECTIONS = {
    "Which MotionBench this is, and which it is not": (
        "A reconstruction in kind of the benchmark that Follow-Your-Motion (arXiv:2506.05207) describes and never"
        " published: its four categories, filled from public sets. It holds none of that paper's clips or prompts, and"
        " figures on it cannot be compared with that paper's. It is not the video question-answering MotionBench"
        " (arXiv:2501.02955)."
    ),
    "Collection": (
        "`motionbench data build motionbench --sources DIR` takes each user's own download, checks it, takes the"
        " frames that the recipe names, cuts them at the center to 832 x 480 and writes H.264 files. No picture is"
        " shipped with the recipe. Nothing else is changed: no stabilization, no blending, no selection by any model."
    ),
    "Prompts": (
        "Three per reference, in English, written for this project: `caption` says what is seen and how it moves,"
        " `subject` puts another subject into the same scene, `scene` changes both and keeps the motion."
    ),
    "Uses": (
        "For measuring motion transfer on filmed clips. Not for training, not for recognizing people or places, and not"
        " for ranking methods on backbones that may have been trained on these very clips: both sets are old and widely"
        " copied, so contamination must be assumed."
    ),
    "Limits": f"{GAPS}\n\n{UNVERIFIED}",
}


def render_split_card(taken: Sequence[Entry], planned: int) -> str:
    """The README.md of a built split; the same entries give the same text."""
    licenses = sorted({hub_license(entry.license) for entry in taken})
    front = {
        "pretty_name": "MotionBench (reconstruction from public sets)", "license": licenses, "language": ["en"],
        "task_categories": ["text-to-video"], "size_categories": ["n<1K"],
        "tags": ["video-motion-transfer", "benchmark"],
    }  # fmt: skip
    if "other" in licenses:
        front |= {"license_name": "per-clip", "license_link": "#sources-and-consent"}
    parts = {"Composition": composition(taken, planned), "Sources and consent": consent(taken)} | SECTIONS
    order = ["Which MotionBench this is, and which it is not", "Composition", "Sources and consent", "Collection",
             "Prompts", "Uses", "Limits"]  # fmt: skip
    return render(front, "MotionBench `motionbench`: a reconstruction", {title: parts[title] for title in order})


def composition(taken: Sequence[Entry], planned: int) -> str:
    """References by category: planned, taken, and how many may be passed on."""
    recipe = Counter(entry.category for entry in read_recipe())
    head, rows = ["category", "in the recipe", "here", "of these CC-BY-4.0", "sets"], []
    for category in Category:
        here = [entry for entry in taken if entry.category == category]
        free = sum(entry.license == "CC-BY-4.0" for entry in here)
        sets = ", ".join(sorted({entry.set for entry in here})) or "-"
        rows.append([f"`{category}`", *map(str, (recipe[category], len(here), free)), sets])
    left = planned - len(taken)
    missing = f"\n\n{left} of {planned} references were left out: their sources were not there or not whole." * (
        left > 0
    )
    return f"{len(taken)} references, {3 * len(taken)} cases, 832 x 480.\n\n" + table(head, rows) + missing


def consent(taken: Sequence[Entry]) -> str:
    """What the sets are, what their terms are, and which clips may not be passed on."""
    lines = [
        f"- {source.title}: {source.citation}; {source.url}"
        for key, source in SETS.items()
        if key in {e.set for e in taken}
    ]
    closed = [entry for entry in taken if entry.license != "CC-BY-4.0"]
    text = (
        "Clips filmed by the makers of DAVIS and of the TUM RGB-D benchmark are CC-BY-4.0, as these state. DAVIS took"
        f" others from elsewhere and refers to each one's own terms: {len(closed)} of the clips here, license"
        " `LicenseRef-see-origin`, with the origin in each case's `source`. These may be cut from one's own download"
        " and are not to be passed on; `motionbench data push` refuses them. The people filmed gave their consent, if"
        " any, to those makers; nothing is added about them."
    )
    return "\n".join(lines) + f"\n\n{text}"
