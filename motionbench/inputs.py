"""What a unit is made from, as bytes: its reference, what lies beside it, and files that the method's settings name.

A worker without the user's disk gets them along with its order, and puts them into a folder of its own.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motionbench.case import Case, Unit
from motionbench.files import write_files
from motionbench.job import Job
from motionbench.outcome import Files
from motionbench.split import Split

logger = logging.getLogger(__name__)

SPLIT = "split"  # the root of what the manifest names; every other root is a setting of the method that holds a path


@dataclass(frozen=True)
class Inputs:
    """files: by root, then by path below it. roots: where each root lies on the user's machine.

    settings: of the method's settings that hold a path, which file below their root each names; "" for the root.
    """

    files: Mapping[str, Files]
    roots: Mapping[str, str]
    settings: Mapping[str, str]

    def unpack(self, job: Job, folder: Path) -> Job:
        """The job on the files as they lie below a folder now, where this writes them. Raises StoreError.

        What records say of the configuration stays: it is the user's.
        """
        for root in self.roots:
            write_files(folder / root, self.files.get(root, {}))
        config = job.plan.config
        if self.settings:
            config = replace(config, **{name: folder / name / file for name, file in self.settings.items()})
        return replace(job, plan=replace(job.plan, config=config), split=replace(job.split, root=folder / SPLIT))

    def as_asked(self, text: str, folder: Path) -> str:
        """A text that names files below the folder, with their names on the user's machine."""
        for root, place in self.roots.items():
            text = text.replace(str(folder / root), place)
        return text


def unit_inputs(job: Job, unit: Unit) -> Inputs:
    """The files of a unit, those that there are."""
    sources = [path for case in unit.cases for path in job.sources.get(case.id, ())]
    roots, settings = {SPLIT: job.split.root}, {}
    for name, path in setting_paths(job.plan.config).items():
        if path.is_file():
            roots[name], settings[name] = path.parent, path.name
            sources.append(path)
        elif any(source.is_relative_to(path) for source in sources):
            roots[name], settings[name] = path, ""
    files = gather(roots, [*split_files(job.split, unit.cases), *sources])
    return Inputs(files, {name: str(place) for name, place in roots.items()}, settings)


def setting_paths(config: Any) -> dict[str, Path]:
    """The fields of a configuration that hold a path."""
    if not dataclasses.is_dataclass(config):
        return {}
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if isinstance(value, Path)}


def split_files(split: Split, cases: Iterable[Case]) -> Iterator[Path]:
    """The references of cases, and what lies beside each under the same name, such as its ground truth."""
    for path in sorted({split.reference_path(case) for case in cases}):
        yield from sorted(file for file in path.parent.glob(f"{path.stem}.*") if file.is_file())


def gather(roots: Mapping[str, Path], wanted: Iterable[Path]) -> dict[str, dict[str, bytes]]:
    """Reads files, each below the first root that it lies in; what is not there or cannot be read is left out.

    A link below a setting's folder that leads out of it is left out, too: nobody named what it leads to.
    """
    files: dict[str, dict[str, bytes]] = {}
    for path in dict.fromkeys(wanted):
        root = next((name for name, place in roots.items() if path.is_relative_to(place)), None)
        if root is None or (root != SPLIT and not path.resolve().is_relative_to(roots[root].resolve())):
            continue
        try:
            files.setdefault(root, {})[path.relative_to(roots[root]).as_posix()] = path.read_bytes()
        except OSError:
            logger.debug("%s cannot be read", path, exc_info=True)  # the attempt will say so
    return files
