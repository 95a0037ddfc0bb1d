"""Folder: clips that another program made, taken as they are so that they can be scored like any method's."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.config import setting, suited_config
from motionbench.errors import ConfigError, MissingInputError, VideoError
from motionbench.kept_clip import KeptClip
from motionbench.manifest import CASE_ID
from motionbench.method import InputContract, Runtime
from motionbench.split import Split

COLUMNS = ("case_id", "file")


@dataclass(frozen=True)
class FolderConfig:
    """Where the clips lie.

    In a folder the clip of case `camera/0001/2` is `camera/0001/2.mp4` or `camera-0001-2.mp4`. A CSV has the columns
    `case_id` and `file`, a path below the CSV's folder. Clips that were replaced, or are there now, are taken anew.
    """

    path: Path | None = setting(None, "a folder or a CSV")
    made_by: str = setting("", "the program that made the clips, with its version and settings")


class Folder:
    """Clips made by another program, looked up by case id.

    Nothing is generated: give `--set path=FOLDER_OR_CSV`. The clips stand for every seed.
    """

    name: ClassVar[str] = "folder"
    contract: ClassVar[InputContract] = InputContract(
        trains=False, start_latent="none", sees_reference=False, extra_inputs=("case",), uses_backbone=False
    )
    Config: ClassVar[type] = FolderConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, config: FolderConfig, runtime: Runtime) -> None:
        self.config = config
        if config.path is None:
            raise ConfigError("folder needs the clips: --set path=FOLDER, or path=TABLE.csv with case_id,file")
        path = config.path
        if not path.exists():
            raise ConfigError(f"path {path}: expected a folder or a CSV, found nothing")
        self.files = None if path.is_dir() else read_table(path)
        self.root = path if path.is_dir() else path.parent

    @classmethod
    def create(cls, config: FolderConfig | None, runtime: Runtime) -> Self:
        """The method on its folder. Raises ConfigError if there is none, or if a CSV's rows are malformed."""
        return cls(suited_config(cls, runtime.backbone, config), runtime)

    @classmethod
    def sources(cls, config: FolderConfig, split: Split, cases: Sequence[Case]) -> dict[str, list[Path]]:
        """Case id -> where its clip may lie. Raises ConfigError."""
        folder = cls(config, Runtime())
        return {case.id: folder.places(case.id) for case in cases}

    def fit(self, reference: Clip, caption: str, *, seed: int) -> KeptClip:
        """Nothing is learned and nothing kept."""
        return KeptClip(None)

    def generate(self, adapter: KeptClip, prompt: str, *, seed: int, case: Case | None = None) -> Clip:
        """The case's clip, at its own length, size and (mean) rate; prompt and seed are not used.

        Raises VideoError naming where it was looked for, MissingInputError without a case.
        """
        if case is None:
            raise MissingInputError("folder needs the case, and so a split: use motionbench eval or run")
        clip = Clip.read(self.find(case.id)).steady()
        return Clip(clip.frames, clip.fps)

    def load_adapter(self, folder: Path) -> KeptClip:
        """The empty adapter of a folder."""
        return KeptClip.load(folder)

    def places(self, case_id: str) -> list[Path]:
        """Where the clip of a case may lie; nowhere if a CSV has no row of it."""
        if self.files is None:
            return [self.root / f"{case_id}.mp4", self.root / f"{case_id.replace('/', '-')}.mp4"]
        return [self.root / self.files[case_id]] if case_id in self.files else []

    def find(self, case_id: str) -> Path:
        """The file of a case. Raises VideoError if there is none or more than one, or if it lies elsewhere."""
        places = self.places(case_id)
        if not places:
            raise VideoError(f"{self.config.path}: expected a row of case {case_id}, found none; add it")
        present = [place for place in places if place.exists()]
        if len(present) != 1:
            looked = " or ".join(map(str, places))
            what = "nothing; make it or mend the path" if not present else "both; remove one"
            raise VideoError(f"expected the clip of case {case_id} at {looked}, found {what}")
        if not present[0].resolve().is_relative_to(self.root.resolve()):  # by a link
            raise VideoError(
                f"{present[0]}: expected a file in {self.root}, but it leads out of it; copy the file there"
            )
        return present[0]


def read_table(path: Path) -> dict[str, str]:
    """File by case id of a CSV with the columns `case_id` and `file`. Raises ConfigError naming file and line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise ConfigError(f"{path}:1: expected the columns {','.join(COLUMNS)}, got {rows.fieldnames}")
            files: dict[str, str] = {}
            for row in rows:
                case_id, name = ((row[column] or "").strip() for column in COLUMNS)
                if problem := fault(case_id, name, files):
                    raise ConfigError(f"{path}:{rows.line_num}: {problem}")
                files[case_id] = name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: expected a CSV in UTF-8, but it cannot be read ({error})") from error
    return files


def fault(case_id: str, name: str, files: dict[str, str]) -> str | None:
    """What is wrong with a row, given the rows before it."""
    if not CASE_ID.fullmatch(case_id):
        return f"case_id must be category/NNNN/n such as camera/0001/0, got {case_id!r}"
    if case_id in files:
        return f"case {case_id} stands in an earlier line"
    if not name:
        return f"case {case_id} has no file"
    if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name or "\0" in name:
        return f"file must be a path below the CSV's folder, got {name!r}"
    return None
