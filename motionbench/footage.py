"""Footage: whose world a split's references are of, and so by which tracker and models its clips are judged.

What was learned on an embedded world sees little in real footage, and what was learned on real footage less in that
world. The references of a split decide, and they alone: whatever a method makes, it is judged like all others.
"""

from __future__ import annotations

from functools import cache

from motionbench import registry
from motionbench.case import Case
from motionbench.errors import UnknownNameError, VideoError
from motionbench.split import Split
from motionbench.world import JudgedWorld

AUTO = "auto"  # the tracker's name that stands for the one that fits the footage
REAL = "real"  # the tracker for footage of no installed world


@cache
def world_of(split: Split) -> str | None:
    """The name of the installed world that made every reference of a split; None for any other footage.

    A world knows its own by what the manifest says of a reference; the clip must also have the world's size. A split
    of mixed footage counts as real, since one tracker serves all of a split and a world's own sees no other footage.
    All references are asked, whatever part of the split is run: limits, categories and shards change no score.
    """
    return next((name for name in registry.names("worlds") if _made_all(judged_world(name), split)), None)


def judged_world(name: str) -> JudgedWorld | None:
    """The installed world of that name, if it has a tracker and an image model of its own. Raises PluginError."""
    world = registry.load("worlds", name)()
    return world if isinstance(world, JudgedWorld) else None


def tracker_for(name: str, split: Split) -> str:
    """The tracker's plugin name; `auto` is the world's own for its footage and `real` for all other.

    Raises UnknownNameError, also where `auto` stands for a tracker that is not installed.
    """
    if registry.canonical(name) != AUTO:
        return registry.resolve("trackers", name)
    return _installed(tracker_of_world(world_of(split)), f"split {split.name}")


def world_of_size(height: int, width: int) -> str | None:
    """The installed world that clips of no split are taken to be of: the one whose clips have this size, if any."""
    worlds = ((name, judged_world(name)) for name in registry.names("worlds"))
    return next((name for name, w in worlds if w is not None and (w.height, w.width) == (height, width)), None)


def tracker_for_world(name: str, world: str | None) -> str:
    """As `tracker_for`, for clips of no split: of a world, or of none. Raises UnknownNameError as that does."""
    if registry.canonical(name) != AUTO:
        return registry.resolve("trackers", name)
    return _installed(tracker_of_world(world), "real footage" if world is None else f"clips of the world {world}")


def _installed(tracker: str, footage: str) -> str:
    if tracker not in registry.names("trackers"):
        raise UnknownNameError(
            f"tracker auto stands for {tracker!r} on {footage}, and no tracker of that name is installed; "
            f"choose one by --tracker NAME. Installed: {', '.join(registry.names('trackers'))}"
        )
    return tracker


def tracker_of_world(world: str | None) -> str:
    """The tracker for the footage of a world, or of none."""
    judged = None if world is None else judged_world(world)
    return REAL if judged is None else judged.tracker


def footage_to_text(split: Split) -> str:
    """What the references are of, in words for people."""
    world = world_of(split)
    return "real footage" if world is None else f"clips of the world {world}"


def _made_all(world: JudgedWorld | None, split: Split) -> bool:
    if world is None or not all(world.made(case) for case in split.cases):
        return False
    references = {case.reference: case for case in split.cases}
    return all(_fits(world, split, case) for case in references.values())


def _fits(world: JudgedWorld, split: Split, case: Case) -> bool:
    """Whether a reference has the world's size; a file that cannot be read says nothing, and fails when it is used."""
    from motionbench.video import read_clip

    try:
        clip = read_clip(split.reference_path(case), frames=1)
    except VideoError:
        return True
    return (clip.height, clip.width) == (world.height, world.width)
