"""The picture of many methods: a row each, a strip for each case, a gap where a clip is missing."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from results_factory import RunRecipe, write_run, write_split

from motionbench.clip import Clip
from motionbench.store import ResultStore


@pytest.fixture
def contact_sheet(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("contact_sheet")


def test_a_strip_holds_evenly_chosen_frames_enlarged_without_blending(contact_sheet: ModuleType) -> None:
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(6, 2).repeat(3, 3)
    held = contact_sheet.strip(Clip(frames, 8.0), 3, 8)
    assert held.shape == (8, 36, 3)
    assert held[0, ::12, 0].tolist() == [0, 4, 8]


def test_a_long_title_is_cut_to_its_column(contact_sheet: ModuleType) -> None:
    font = contact_sheet.ImageFont.load_default(13)
    assert contact_sheet.shortened("short", 200, font) == "short"
    cut = contact_sheet.shortened("a very long prompt " * 9, 200, font)
    assert cut.endswith("…")
    assert font.getlength(cut) <= 200


def test_a_row_for_the_references_and_each_folder(contact_sheet: ModuleType, tmp_path: Path) -> None:
    split = write_split(tmp_path / "split", references=1)
    folders = [write_run(tmp_path / name, split, RunRecipe(name)) for name in ("ditflow", "det")]
    (folders[1] / "records.jsonl").write_text("")
    words = ["--split", str(split.root), "--case", split.cases[0].id, "--frames", "3", "--out", str(tmp_path / "s.png")]
    contact_sheet.main([*map(str, folders), *words])
    sheet = np.asarray(Image.open(tmp_path / "s.png").convert("RGB"))
    bands = [(sheet[-(64 + 6) * n : -(64 + 6) * (n - 1) or None, -100:] < 250).any() for n in (3, 2, 1)]
    assert bands == [True, True, False], "the last folder has no such clip"
    with pytest.raises(SystemExit, match="no case camera/0404/0"):
        contact_sheet.main([str(folders[0]), "--split", str(split.root), "--case", "camera/0404/0", "--out", "x.png"])


def test_of_several_seeds_the_first_is_drawn(contact_sheet: ModuleType, tmp_path: Path) -> None:
    split = write_split(tmp_path / "split", references=1)
    case = split.cases[0].id
    store = ResultStore(write_run(tmp_path / "ditflow", split, RunRecipe("ditflow", seeds=(0, 1))))
    zero, one = (record for record in store.records() if record.case_id == case)
    store.inside(str(one.video)).unlink()
    (_, (drawn,)) = contact_sheet.rows_of([store], split, [case], 3, 64)[1]
    assert np.array_equal(drawn, contact_sheet.strip(store.read_video(zero), 3, 64))
