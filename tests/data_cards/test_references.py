"""Benchmark and tuning references: disjoint from training, clear when reversed, complete in their truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motionbench.data_cards.world.disjoint import families, nearest_training, shared_families
from motionbench.data_cards.world.language import Subject, parse_caption
from motionbench.data_cards.world.references import (
    CATEGORIES,
    REVERSAL_LIMIT,
    draw_reference,
    other_subjects,
    reversal_match,
    tuning_references,
)
from motionbench.data_cards.world.truth import (
    Truth,
    grid_truth,
    merge_content,
    read_truth,
    render_prompt,
    truth_path,
    write_truth,
)

from motionbench.errors import ManifestError, MissingInputError
from motionbench.split import read_split
from motionbench.tracks import Tracks


@pytest.fixture(scope="module")
def lite() -> list[Truth]:
    split = read_split("lite")
    return [read_truth(truth_path(split.root / path)) for path in sorted({case.reference for case in split.cases})]


def test_no_family_serves_two_purposes() -> None:
    assert shared_families() == []
    assert all(len(group) >= 6 for group in families().values())


def test_a_family_held_twice_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from motionbench.data_cards.world import disjoint

    monkeypatch.setitem(disjoint.BENCHMARK_PATHS, "harmless", disjoint.TUNING_PATHS["wiggle"])
    assert disjoint.shared_families() == ["wiggle"]


def test_no_benchmark_motion_is_near_a_training_motion(lite: list[Truth]) -> None:
    nearest = nearest_training(lite, 2000)
    assert len(nearest) == len(lite)
    assert min(nearest.values()) > 0.02  # half frames, that is 0.6 pixels: a different path, not a near copy


def test_a_training_path_in_the_benchmark_would_be_found(lite: list[Truth]) -> None:
    from motionbench.data_cards.world.paths import object_motion

    planted = object_motion(np.random.default_rng(0), np.random.default_rng(0).random(500) < 0.45)
    single = next(truth for truth in lite if truth.category == "single_object")
    rng = np.random.default_rng(0)
    center = object_motion(rng, rng.random(500) < 0.45).center[7:8] + 0.1
    assert planted.center.shape == (500, 17, 2)
    copy = replace(single, motion={**single.motion, "center": center})
    assert nearest_training([copy], 500)[single.name] == pytest.approx(0.0, abs=1e-9)


def test_every_reference_of_lite_is_opposite_when_reversed(lite: list[Truth]) -> None:
    for truth in lite:
        tracks, _ = grid_truth(truth, truth.scene, truth.subjects)
        assert reversal_match(tracks) < REVERSAL_LIMIT, truth.name


def test_reversal_match_of_plain_motions() -> None:
    steps = np.arange(17, dtype=np.float32)
    line = np.stack([10 + 2 * steps, np.full(17, 30, np.float32)], -1)[None]
    back_and_forth = np.stack([10 + 2 * np.minimum(steps, 16 - steps), np.full(17, 30, np.float32)], -1)[None]
    seen = np.ones((1, 17), bool)
    assert reversal_match(Tracks(line, seen, 64, 64)) == pytest.approx(-1.0)
    assert reversal_match(Tracks(back_and_forth, seen, 64, 64)) == pytest.approx(1.0)
    assert reversal_match(Tracks(np.concatenate([line, 60 - line]), np.ones((2, 17), bool), 64, 64)) == pytest.approx(
        1.0
    )


def test_captions_do_not_tell_the_motion(lite: list[Truth]) -> None:
    for truth in lite:
        assert set(parse_caption(truth.caption).motion) <= {"moving", "moves"}


def test_several_objects_cross_and_hide_each_other(lite: list[Truth]) -> None:
    counts = set()
    for truth in (t for t in lite if t.category == "multi_object"):
        counts.add(len(truth.subjects))
        tracks, owner = grid_truth(truth, truth.scene, truth.subjects)
        inside = ((tracks.points > 0) & (tracks.points < 63)).all(-1)
        hidden = inside & ~tracks.visible
        assert hidden[owner >= 0].any(), truth.name
    assert counts == {2, 3}


@pytest.mark.parametrize("category", CATEGORIES)
def test_references_are_drawn_the_same_every_time(category: str) -> None:
    a, b = (draw_reference("benchmark", category, 2) for _ in range(2))
    assert a.caption == b.caption
    assert all(np.array_equal(a.motion[key], b.motion[key]) for key in a.motion)
    other = draw_reference("benchmark", category, 2, seed=1)
    assert any(not np.array_equal(a.motion[key], other.motion[key]) for key in a.motion if key != "scale")


def test_tuning_references_are_none_of_the_benchmark() -> None:
    found = tuning_references(1)
    assert [truth.category for _, truth in found] == list(CATEGORIES)
    groups = families()
    for clip, truth in found:
        assert clip.frames.shape == (17, 64, 64, 3)
        assert truth.family in groups["tuning"]
        assert truth.family not in groups["benchmark"]
        assert truth.name.endswith("/9001")


def test_a_crowd_has_three_to_five_objects_that_cross_and_other_subjects_for_each() -> None:
    """Of five, no eight colors are left that are all others: each then differs from its counterpart."""
    for index, count in ((1, 3), (2, 4)):
        truth = draw_reference("crowd", "multi_object", index)
        assert (truth.name, len(truth.subjects)) == (f"multi_object/{6000 + index}", count)
        assert truth.family not in families()["tuning"]
        tracks, owner = grid_truth(truth, truth.scene, truth.subjects)
        assert (~tracks.visible[owner >= 0]).any()
    five = replace(truth, subjects=(*truth.subjects, Subject("ring", "orange")))
    found = other_subjects(five, np.random.default_rng(0))
    assert len(found) == 5
    assert all(a.color != b.color and a.kind != b.kind for a, b in zip(found, five.subjects, strict=True))


def test_truth_survives_its_file(tmp_path: Path, lite: list[Truth]) -> None:
    for truth in (next(t for t in lite if t.category == c) for c in CATEGORIES):
        path = tmp_path / f"{truth.category}.truth.npz"
        write_truth(path, truth)
        again = read_truth(path)
        assert (again.name, again.caption, again.scene, again.subjects, again.seed) == (
            truth.name, truth.caption, truth.scene, truth.subjects, truth.seed,
        )  # fmt: skip
        assert all(np.array_equal(again.motion[key], truth.motion[key]) for key in truth.motion)
        with np.load(path, allow_pickle=False) as held:
            tracks, owner = grid_truth(truth, truth.scene, truth.subjects)
            assert np.array_equal(held["points"], tracks.points)
            assert np.array_equal(held["visible"], tracks.visible)
            assert np.array_equal(held["owner"], owner)
            assert held["places"].shape[1:] == (17, 2)


def test_truth_that_is_missing_or_spoiled_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no ground truth beside"):
        read_truth(tmp_path / "none.truth.npz")
    spoiled = tmp_path / "spoiled.truth.npz"
    spoiled.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ManifestError, match="build the split again"):
        read_truth(spoiled)
    np.savez(spoiled, allow_pickle=False, points=np.zeros(3))
    with pytest.raises(ManifestError):
        read_truth(spoiled)


def test_a_prompt_changes_content_and_keeps_motion(lite: list[Truth]) -> None:
    truth = next(t for t in lite if t.category == "single_object")
    scene, subjects = merge_content(truth, parse_caption("a pink heart in the city").content)
    assert (scene, subjects) == ("city", (Subject("heart", "pink"),))
    own, _ = render_prompt(truth, truth.caption)
    clip, tracks = render_prompt(truth, "a pink heart in the city")
    assert clip.frames.shape == own.frames.shape
    assert not np.array_equal(clip.frames, own.frames)
    _, owner = grid_truth(truth, scene, subjects)
    shift = tracks.points[owner == 0].mean(0)
    assert np.diff(shift, axis=0) == pytest.approx(np.diff(truth.motion["center"][0], axis=0) * 32, abs=0.6)
    assert np.array_equal(tracks.points[owner < 0][:, 0], tracks.points[owner < 0][:, -1])


def test_what_a_prompt_leaves_unsaid_stays() -> None:
    truth = draw_reference("benchmark", "human", 1)
    assert merge_content(truth, parse_caption("somebody moving").content) == (truth.scene, truth.subjects)
    assert merge_content(truth, parse_caption("a red ball in the sea").content) == ("sea", truth.subjects)
    kind = "robot" if truth.subjects[0].kind == "person" else "person"
    asked = merge_content(truth, parse_caption(f"a {kind}").content)
    assert asked == (truth.scene, (Subject(kind, truth.subjects[0].color),))


def test_other_subjects_share_neither_color_nor_kind(lite: list[Truth]) -> None:
    rng = np.random.default_rng(0)
    for truth in lite:
        others = other_subjects(truth, rng)
        assert len(others) == len(truth.subjects)
        assert {s.color for s in others}.isdisjoint({s.color for s in truth.subjects})
        assert all(a.kind != b.kind for a, b in zip(others, truth.subjects, strict=True))
