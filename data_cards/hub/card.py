"""The card of a repository of splits, from its catalog: front matter for the Hub, sections for its readers."""

from __future__ import annotations

from typing import Any

from motionbench.case import Category
from motionbench.marked_page import table

from ..dataset_card import render
from .catalog import Catalog
from .licenses import hub_license

TITLE = "MotionBench for video motion transfer"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TAGS = ("video-motion-transfer", "benchmark", "motion", "video-generation", "follow-your-motion")

WHICH = """\
This is a benchmark for **video motion transfer**: a reference clip gives the motion, a prompt gives the content, and a
method must make a clip with both. It follows the four categories that Follow-Your-Motion (arXiv:2506.05207) describes.
The clips of that paper were never published; what is here is a reconstruction with clips, captions and prompts of its
own, and figures on it cannot be compared with that paper's tables.

It is *not* THUDM's MotionBench (arXiv:2501.02955: questions and answers about fine-grained motion, for vision-language
models), not the MotionBench of MotionShop, and not MTBench or MT-Bench."""
COLLECTION = """\
Each clip's `source` names where it comes from. Clips of the splits `mini` and `lite` are rendered by a procedural world
whose code is open and whose renders can be repeated; the ground truth (point tracks, visibility, camera and object
paths) lies in the column `truth`. Clips of other splits are cut from the named public sets by a recipe, and changed in
nothing but length, size and container. Each split's own card, under `splits/NAME/README.md`, says more."""
PROMPTS = """\
Each reference has a caption and prompts at up to three levels: `caption` repeats what the reference shows, `subject`
puts another subject into it, `scene` changes subject and scene. All were written for this project, and the motion in
them is the reference's; no text was taken from other benchmarks."""
USES = """\
Meant for measuring how well a method transfers motion without training on these clips. Not meant for training, for
ranking methods of unlike backbones against each other, or for judging people: where people are seen, only their motion
is meant."""
LIMITS = """\
Few references per category: read intervals, not means. Rendered clips are simpler than filmed ones, and a rank on them
need not hold on filmed ones. Captions and prompts are in English and come from few writers. Categories are declared by
what moves most; mixed motion exists."""
READ = """\
```python
import datasets

rows = datasets.load_dataset("{repo}", "{config}", split="{split}", revision="main")
row = rows[0]  # row["video"]["bytes"] is an MP4 file, row["prompts"] a list, row["truth"] the files of ground truth
```

The videos are embedded and stay undecoded. `motionbench data pull {repo}@REVISION` writes them as files with their
manifest, pinned to one commit, for `motionbench eval --split FOLDER`."""


def render_card(repo: str, catalog: Catalog) -> str:
    """The README.md of a repository that holds these splits; the same catalog gives the same text."""
    config = next((str(c) for c in Category if any(str(c) in e.categories for e in catalog.values())), "camera")
    name = next(iter(sorted(catalog)), "mini")
    parts = {
        "Which MotionBench this is, and which it is not": WHICH,
        "Composition": composition(catalog),
        "How to read it": READ.format(repo=repo, config=config, split=name),
        "Sources and consent": sources(catalog),
        "Collection": COLLECTION,
        "Prompts": f"{PROMPTS}\n\n{level_table(catalog)}",
        "Uses": USES,
        "Limits": LIMITS,
    }
    return render(front_matter(catalog), TITLE, parts)


def front_matter(catalog: Catalog) -> dict[str, Any]:
    """What the Hub reads: licenses, task, size, and one configuration per category."""
    licenses = sorted({hub_license(license) for entry in catalog.values() for license in entry.licenses})
    cases = sum(part.cases for entry in catalog.values() for part in entry.categories.values())
    value: dict[str, Any] = {
        "pretty_name": TITLE,
        "license": licenses[0] if len(licenses) == 1 else licenses or ["other"],
        "language": ["en"],
        "task_categories": ["text-to-video"],
        "tags": list(TAGS),
        "size_categories": [next((label for limit, label in SIZES if cases < limit), "n>1T")],
        "configs": [config for config in (to_config(c, catalog) for c in Category) if config["data_files"]],
    }
    if "other" in licenses:
        value |= {"license_name": "per-clip", "license_link": "#sources-and-consent"}
    return value


def to_config(category: Category, catalog: Catalog) -> dict[str, Any]:
    """A category as a configuration: per split the parquet files that hold it."""
    tables = [(name, sorted(entry.categories[category].tables)) for name, entry in sorted(catalog.items())
            if category in entry.categories]  # fmt: skip
    return {"config_name": str(category), "data_files": [{"split": name, "path": paths} for name, paths in tables]}


def composition(catalog: Catalog) -> str:
    """References and cases by split and category, as a table."""
    rows = []
    for name, entry in sorted(catalog.items()):
        counts = [str(entry.categories[c].references) if c in entry.categories else "-" for c in Category]
        cases = sum(part.cases for part in entry.categories.values())
        size = sum(part.bytes for part in entry.categories.values()) / 1e6
        rows.append([f"`{name}`", f"`{entry.revision}`", *counts, str(cases), f"{size:.1f}"])
    text = "References per category; one row of a table is one reference with all its prompts."
    return f"{text}\n\n{table(['split', 'revision', *Category, 'cases', 'MB'], rows)}"


def sources(catalog: Catalog) -> str:
    """Where the references come from and under which licenses, with counts."""
    entries = sorted(catalog.items())
    of_source = [[f"`{name}`", cell(one), str(n)] for name, entry in entries for one, n in entry.sources.items()]
    of_license = [[f"`{name}`", cell(one), str(n)] for name, entry in entries for one, n in entry.licenses.items()]
    tables = table(["split", "source", "references"], of_source), table(["split", "license", "references"], of_license)
    consent = (
        "Rendered clips show nobody. Filmed clips come from public research sets under the licenses named per row;"
        " their makers answer for the consent of those seen. Write to the repository's owner to have a clip removed."
    )
    return "\n\n".join([*tables, consent])


def level_table(catalog: Catalog) -> str:
    """Cases by split and prompt level."""
    rows = [
        [f"`{name}`", level, str(count)]
        for name, entry in sorted(catalog.items())
        for level, count in entry.levels.items()
    ]
    return table(["split", "level", "cases"], rows)


def cell(text: str) -> str:
    """Text that does not end a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")
