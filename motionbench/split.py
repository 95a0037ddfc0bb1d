"""Split: a named, hashed list of cases, by its name or by the path of its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from motionbench.case import Case, Category
from motionbench.errors import ManifestError, PluginError, VideoError
from motionbench.files import canonical_json, file_sha256
from motionbench.manifest import MANIFEST, parse_manifest
from motionbench.registry import unknown
from motionbench.schema import case_to_schema_1

if TYPE_CHECKING:
    import pandas as pd

    from motionbench.clip import Clip  # brings numpy, which `motionbench list splits` can do without


@dataclass(frozen=True)
class Split:
    """A list of cases in manifest order.

    revision: 16 hex digits, hash of all cases (not of the file's layout). root: the folder that references lie below.
    """

    name: str
    revision: str
    root: Path
    cases: tuple[Case, ...]

    def select(self, categories: Sequence[Category] = (), limit: int | None = None) -> tuple[Case, ...]:
        """The cases of these categories (empty = all), of the first `limit` references of each, by reference id.

        Raises ManifestError if a category has no case here: a table with a silent gap would mislead.
        """
        present = {case.category for case in self.cases}
        for category in categories:
            if category not in present:
                raise ManifestError(
                    f"split {self.name!r} has no {category} case; it has {', '.join(sorted(present)) or 'none'}"
                )
        kept: set[str] = set()
        for category in present & set(categories or present):
            kept.update(sorted({c.reference_id for c in self.cases if c.category == category})[:limit])
        return tuple(case for case in self.cases if case.reference_id in kept)

    def by_id(self) -> dict[str, Case]:
        """The cases by their id."""
        return {case.id: case for case in self.cases}

    def frame(self) -> pd.DataFrame:
        """The cases as a pandas table, a line each; `path` is where the reference lies."""
        import pandas as pd

        return pd.DataFrame([{**asdict(case), "path": str(self.reference_path(case))} for case in self.cases])

    def reference_path(self, case: Case) -> Path:
        """Where the reference clip of a case lies."""
        return self.root / case.reference

    def read_reference(self, case: Case) -> Clip:
        """The reference clip of a case, checked against its checksum; at least two frames, at a constant rate.

        Raises VideoError.
        """
        from motionbench.clip import Clip
        from motionbench.video_file import check_file

        path = self.reference_path(case)
        check_file(path)
        actual = file_sha256(path)
        if actual != case.sha256:
            raise VideoError(
                f"{path}: expected sha256 {case.sha256}, got {actual}; fetch it again, or mend the sum in {MANIFEST}"
            )
        return Clip.read(path, least_frames=2).steady()


def read_split(name_or_path: str | Path) -> Split:
    """The embedded split of that name, or the one whose manifest (or folder with one) is at that path.

    Raises UnknownNameError if it is neither, ManifestError naming file and line if the manifest is malformed.
    """
    path = Path(name_or_path)
    embedded = splits_folder() / str(name_or_path)
    if str(name_or_path) in split_names():
        path = embedded
    if path.is_dir():
        path = path / MANIFEST
    if not path.is_file():
        if path.name != str(name_or_path) or path.suffix == ".jsonl":  # it looks like a path
            raise ManifestError(
                f"{path}: expected a manifest or a folder with {MANIFEST}, found nothing; check the path"
            )
        raise unknown("split", str(name_or_path), split_names())
    cases = parse_manifest(path)
    name = path.parent.name if path.name == MANIFEST else path.stem
    return Split(name, cases_to_revision(cases), path.parent.resolve(), cases)


@cache
def splits_folder() -> Path:
    """The folder of the embedded splits, found without importing the room that holds it. Raises PluginError."""
    spec = find_spec("motionbench.data_cards")
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(
            f"motionbench.data_cards expected beside {Path(__file__).parent}, which is not an installed motionbench; "
            "run in another folder, or pip install -e . in this one"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "splits"


def split_names() -> list[str]:
    """Names of the embedded splits, sorted."""
    return sorted(path.parent.name for path in splits_folder().glob(f"*/{MANIFEST}"))


def cases_to_revision(cases: Iterable[Case]) -> str:
    """16 hex digits that change with any field or with the order of the cases."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(canonical_json(case_to_schema_1(asdict(case))).encode() + b"\n")
    return digest.hexdigest()[:16]
