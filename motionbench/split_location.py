"""Where the split of a results folder lies: there where it was, beside the folder if both were moved, or as told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from motionbench.errors import ManifestError, StoreError, UnknownNameError
from motionbench.split import Split, read_split
from motionbench.store import ResultStore


def place_of(split: str, folder: Path) -> dict[str, str]:
    """What run.json keeps of a split's name or path: `split`, and of a path also the way to it from the results."""
    if not Path(split).exists():
        return {"split": split}
    path, here = Path(split).resolve(), folder.resolve()
    place = {"split": str(path)}
    # A way through the folders above the user's home leads through the home and tells its name.
    above = Path(os.path.commonpath([path, here]))
    home = Path(os.path.expanduser("~")).resolve()
    if above == home or not home.is_relative_to(above):
        place["split_from_here"] = os.path.relpath(path, here)
    return place


def find_split(store: ResultStore, given: str | Path | None = None) -> Split:
    """The split that a run was made for. given: its name, manifest or folder, where it lies elsewhere by now.

    Raises StoreError naming the places that were looked at, and what a split found there is.
    """
    return SplitFinder([] if given is None else [given]).find(store)


class SplitFinder:
    """Finds the splits of many runs, each read once. given: names or paths that are tried first."""

    def __init__(self, given: Iterable[str | Path] = ()) -> None:
        self._given = [str(place) for place in given]
        self._read: dict[str, Split | str] = {}

    def find(self, store: ResultStore) -> Split:
        """The split of a run, at the run's revision. Raises StoreError."""
        run = store.read_run()
        name, revision = run["configuration"]["split"], run["configuration"]["split_revision"]
        seen = []
        for place in self._places(run, store.folder):
            split = self._try(place)
            if isinstance(split, Split) and split.revision == revision:
                return split
            seen.append(f"{place} ({split if isinstance(split, str) else f'revision {split.revision}'})")
        raise StoreError(
            f"{store.folder}: its split {name}, revision {revision}, is not found; looked at {'; '.join(seen)}; "
            "name its folder or manifest by --split PATH"
        )

    def _places(self, run: dict[str, Any], folder: Path) -> list[str]:
        """Given ones, where it was, the way there from here, and the name."""
        selection = run.get("selection") or {}
        places = [*self._given, selection.get("split")]
        if "split_from_here" in selection:
            places.append(os.path.normpath(folder.resolve() / selection["split_from_here"]))
        return list(dict.fromkeys(str(place) for place in [*places, run["configuration"]["split"]] if place))

    def _try(self, place: str) -> Split | str:
        """The split at a place, or what is wrong there."""
        if place not in self._read:
            try:
                self._read[place] = read_split(place)
            except (ManifestError, UnknownNameError) as error:
                self._read[place] = str(error) if Path(place).exists() else "nothing there"
        return self._read[place]
