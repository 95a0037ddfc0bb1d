"""TAP-Vid: files read without running them, queries, figures against plain loops, and whole runs of known trackers."""

from __future__ import annotations

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.metrics.metrics_command import app
from motionbench.metrics.tapvid.measuring import (
    FIGURES,
    choose_queries,
    figures,
    follow_queries,
    mean_over_videos,
    measure_video,
)
from motionbench.metrics.tapvid.reading import TapVideo, read_videos, to_video
from motionbench.metrics.tapvid.unpickling import read_pickle
from PIL import Image
from typer.testing import CliRunner

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.tracks import Tracks


def drifting_video(frames: int = 12, count: int = 7, side: int = 64, seed: int = 0) -> dict[str, Any]:
    """A texture that pans by a whole pixel per frame, points fixed to it, some hidden for a while."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 256, (side // 8, side // 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    texture = np.asarray(Image.fromarray(texture).resize((2 * side, side), Image.Resampling.BICUBIC))
    video = np.stack([texture[:, 20 - t : 20 - t + side] for t in range(frames)])
    start = rng.uniform(0.2, 0.6, (count, 1, 2))
    points = start + np.arange(frames)[None, :, None] * np.array([1 / side, 0])
    occluded = rng.random((count, frames)) < 0.3
    occluded[0] = False
    return {"points": points, "occluded": occluded, "video": video}


class Exact:
    """Follows a pan of `speed` pixels (of 256) per frame onwards; backwards the clip runs the other way."""

    name, version, speed = "exact", 3, 4.0

    @classmethod
    def create(cls, device: str) -> Any:
        return cls()

    def track(self, clip: Clip, queries: np.ndarray) -> Tracks:
        forwards = np.abs(np.roll(clip.frames[0], 4, 1)[:, 8:-8].astype(int) - clip.frames[1][:, 8:-8]).mean() < 12
        way = np.arange(len(clip)) * (self.speed if forwards else -self.speed)
        points = queries[:, None] + np.stack([way, 0 * way], -1)[None]
        return Tracks(points.astype(np.float32), np.ones(points.shape[:2], bool), clip.height, clip.width)


def plain_figures(errors: Any, visible: Any, seen: Any, counted: Any) -> dict[str, float | None]:
    """The definition, read from the paper, one frame of one query at a time."""
    right = answers = 0
    sums = {k: {"seen": 0, "near": 0, "true": 0, "false": 0} for k in (1, 2, 4, 8, 16)}
    for q in range(len(errors)):
        for t in range(errors.shape[1]):
            if not counted[q, t]:
                continue
            answers += 1
            right += int(visible[q, t] == seen[q, t])
            for k, s in sums.items():
                near = (errors[q, t, 0] ** 2 + errors[q, t, 1] ** 2) < k**2
                s["seen"] += int(seen[q, t])
                s["near"] += int(seen[q, t] and near)
                if visible[q, t] and seen[q, t] and near:
                    s["true"] += 1
                elif visible[q, t]:
                    s["false"] += 1
    out: dict[str, Any] = {"occlusion_accuracy": right / answers if answers else None}
    for k, s in sums.items():
        out[f"within_{k}"] = s["near"] / s["seen"] if s["seen"] else None
        out[f"jaccard_{k}"] = s["true"] / (s["seen"] + s["false"]) if s["seen"] + s["false"] else None
    for mean, part in (("delta_avg", "within"), ("average_jaccard", "jaccard")):
        values = [out[f"{part}_{k}"] for k in sums]
        out[mean] = None if None in values else sum(values) / 5
    return out


@pytest.mark.parametrize("seed", range(6))
def test_the_figures_are_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 9)), int(rng.integers(1, 14)))
    errors = rng.normal(0, 4, (*shape, 2)) * rng.choice([0.1, 1, 3], (*shape, 1))
    errors[rng.random(shape) < 0.05] = np.nan
    visible, seen, counted = (rng.random(shape) < share for share in (0.7, 0.6, 0.8))
    found = figures(errors, visible, seen, counted)
    assert tuple(found) == FIGURES
    for name, value in plain_figures(errors, visible, seen, counted).items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=1e-12)), name


def test_by_hand_one_false_one_missed_and_one_true_point() -> None:
    errors = np.array([[[0.0, 0.0], [3.0, 0.0], [0.5, 0.0]]])
    visible, seen = np.array([[True, True, False]]), np.array([[True, True, True]])
    found = figures(errors, visible, seen, np.ones((1, 3), bool))
    assert found["within_2"] == pytest.approx(2 / 3)
    assert found["jaccard_2"] == pytest.approx(1 / 4)  # one true; three in truth and one false
    assert found["jaccard_4"] == pytest.approx(2 / 3)
    assert found["occlusion_accuracy"] == pytest.approx(2 / 3)
    assert figures(errors * 4, visible, seen, np.ones((1, 3), bool))["within_2"] == pytest.approx(1 / 3)  # strictly


def test_first_queries_are_first_sights_and_strided_ones_every_fifth_frame() -> None:
    occluded = np.array([[1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0], [1] * 11, [0] * 11], bool)
    first = choose_queries(occluded, "first")
    assert [(int(n), int(t)) for n, t in zip(first.track, first.frame, strict=True)] == [(0, 2), (2, 0)]
    strided = choose_queries(occluded, "strided")
    pairs = [(int(n), int(t)) for n, t in zip(strided.track, strided.frame, strict=True)]
    assert pairs == [(2, 0), (0, 5), (2, 5), (0, 10), (2, 10)]
    assert first.evaluated(11, "first").sum(1).tolist() == [8, 10]
    assert strided.evaluated(11, "strided").sum(1).tolist() == [10] * 5
    assert not strided.evaluated(11, "strided")[1, 5]


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_an_exact_tracker_has_every_point_both_ways(mode: Any) -> None:
    video = to_video("pan", drifting_video())
    queries = choose_queries(video.occluded, mode)
    points, _ = follow_queries(Exact(), video, queries, mode)
    counted = queries.evaluated(12, mode)
    errors = np.linalg.norm(points - video.places()[queries.track], axis=-1)
    assert errors[counted].max() < 1e-3
    found = measure_video(Exact(), video, mode)
    assert found["delta_avg"] == 1
    hidden = video.occluded[queries.track][counted].mean()
    assert found["occlusion_accuracy"] == pytest.approx(1 - hidden)  # it never says hidden
    assert found["average_jaccard"] == pytest.approx(1 - hidden)


def test_a_tracker_off_by_three_pixels_is_within_three_of_five_thresholds() -> None:
    class Off(Exact):
        def track(self, clip: Clip, queries: np.ndarray) -> Tracks:
            found = super().track(clip, queries)
            return Tracks(found.points + np.float32(3 / 2**0.5), found.visible, 256, 256)

    found = measure_video(Off(), to_video("pan", drifting_video()), "first")
    assert [found[f"within_{k}"] for k in (1, 2, 4, 8, 16)] == [0, 0, 1, 1, 1]


def test_only_what_follows_the_query_is_shown_to_the_tracker() -> None:
    lengths = []

    class Counting(Exact):
        def track(self, clip: Clip, queries: np.ndarray) -> Tracks:
            lengths.append((len(clip), len(queries)))
            return super().track(clip, queries)

    video = to_video("pan", drifting_video(frames=11, count=1))
    measure_video(Counting(), video, "first")
    assert lengths == [(11, 1)]
    lengths.clear()
    measure_video(Counting(), video, "strided")
    assert lengths == [(11, 1), (6, 1), (6, 1), (11, 1)]


def test_a_video_without_a_seen_point_or_of_one_frame_is_counted_as_missing() -> None:
    fields = drifting_video()
    unseen = to_video("unseen", fields | {"occluded": np.ones((7, 12), bool)})
    single = to_video("single", {key: value[:1] if key == "video" else value[:, :1] for key, value in fields.items()})
    rows = {v.name: measure_video(Exact(), v, "first") for v in (unseen, single, to_video("pan", fields))}
    assert set(rows["unseen"].values()) == set(rows["single"].values()) == {None}
    mean = mean_over_videos(rows)["delta_avg"]
    assert (mean.mean, mean.n, mean.n_missing, mean.low) == (1, 1, 2, None)


def jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_published_shapes_are_read_by_every_protocol(tmp_path: Path, protocol: int) -> None:
    fields = drifting_video()
    plain = {"points": fields["points"].copy(order="F"), "occluded": fields["occluded"], "video": fields["video"]}
    coded = fields | {"video": np.array([jpeg(frame) for frame in fields["video"]])}  # Kinetics
    listed = fields | {"video": [jpeg(frame) for frame in fields["video"]]}
    objects = fields | {"video": np.array([jpeg(frame) for frame in fields["video"]], dtype=object)}
    for name, data in {"davis": {"pan": plain}, "stacking": [plain], "kinetics": [coded, listed, objects]}.items():
        file = tmp_path / f"{name}.pkl"
        file.write_bytes(pickle.dumps(data, protocol))
        for video in read_videos(file):
            assert np.array_equal(video.points, fields["points"])
            assert np.array_equal(video.occluded, fields["occluded"])
            assert np.abs(video.frames.astype(int) - fields["video"]).mean() < (4 if name == "kinetics" else 1e-9)


def test_numbers_text_and_numpy_scalars_pass(tmp_path: Path) -> None:
    data = {"a": [1, 2.5, None, True, "é", b"x", b""], "b": np.float32(1.5), "c": (np.int64(-3),), "d": np.arange(3)}
    for protocol in range(2, 6):
        (tmp_path / "data.pkl").write_bytes(pickle.dumps(data, protocol))
        found = read_pickle(tmp_path / "data.pkl")
        assert found["a"] == data["a"]
        assert (found["b"], found["c"]) == (1.5, (-3,))
        assert np.array_equal(found["d"], np.arange(3))


class Shell:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['TAP_MARK']}",)


class Evaluated:
    def __reduce__(self) -> Any:
        return eval, ("open(__import__('os').environ['TAP_MARK'], 'w')",)


class Indirect:
    def __reduce__(self) -> Any:
        return np.load, (os.environ["TAP_MARK"], None, True)


class Records:
    def __reduce__(self) -> Any:
        return np.dtype, ([("a", "O"), ("b", "i4")],)


HANDMADE = {
    "os.system": b"cos\nsystem\n(S'touch \"$TAP_MARK\"'\ntR.",
    "posix.system": b"cposix\nsystem\n(S'touch \"$TAP_MARK\"'\ntR.",
    "getattr": b"c__builtin__\ngetattr\n(c__builtin__\nobject\nS'__subclasses__'\ntR.",
    "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__new__\x93.",
    "submodule": b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
    "state of a function": b"c_codecs\nencode\n}S'codec'\nI1\nsb.",
    "state of a slotted function": b"c_codecs\nencode\n(N}S'__call__'\nI1\nstb.",
    "state of a class": b"cnumpy\ndtype\n}S'text'\nS'f8'\nsb.",
    "state of an argument": b"cnumpy\nndarray\n}S'x'\nI1\nsb.",
    "persistent": b"Pname\n.",
    "extension": b"\x80\x02\x82\x01.",
    "codec": b"c_codecs\nencode\n(VAAAA\nS'rot13'\ntR.",
    "set": b"\x80\x04\x8f.",
    "an empty array": b"cnumpy.core.multiarray\n_reconstruct\n)R.",
    "cut": pickle.dumps({"a": np.arange(9)})[:-20],
    "text": b"no pickle at all",
    "empty": b"",
    "itself": b"]q\x00h\x00a.",
}


@pytest.mark.parametrize("kind", [Shell, Evaluated, Indirect, Records, Path, Clip])
def test_a_pickle_that_calls_anything_is_refused_and_not_run(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_MARK", str(tmp_path / "mark"))
    value = kind if kind is Clip else kind()
    file = tmp_path / "bad.pkl"
    file.write_bytes(pickle.dumps({"pan": drifting_video() | {"extra": value}}))
    with pytest.raises(ShapeError, match=r"bad\.pkl.*nothing of it was run"):
        list(read_videos(file))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", HANDMADE)
def test_a_pickle_made_by_hand_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_MARK", str(tmp_path / "mark"))
    file = tmp_path / "bad.pkl"
    file.write_bytes(HANDMADE[name])
    with pytest.raises(ShapeError, match=r"bad\.pkl"):
        list(read_videos(file))
    assert not (tmp_path / "mark").exists()


def test_an_npz_is_read_and_one_with_objects_is_not(tmp_path: Path) -> None:
    fields = drifting_video()
    np.savez(tmp_path / "pan.npz", **fields)
    (video,) = read_videos(tmp_path / "pan.npz")
    assert video.name == "pan"
    assert np.array_equal(video.frames, fields["video"])
    np.savez(tmp_path / "bad.npz", **(fields | {"points": np.array([Shell], dtype=object)}))
    with pytest.raises(ShapeError, match=r"bad\.npz"):
        list(read_videos(tmp_path / "bad.npz"))


@pytest.mark.parametrize(
    "change",
    [
        {"points": np.zeros((7, 11, 2))},
        {"points": np.zeros((7, 12, 2), int)},
        {"occluded": np.zeros((6, 12), bool)},
        {"video": np.zeros((12, 8, 8, 4), np.uint8)},
        {"video": np.zeros((12, 8, 8, 3), np.float32)},
        {"video": []},
        {"video": [b"no image"] * 12},
        {"video": "frames"},
    ],
)
def test_fields_that_do_not_fit_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match="video pan"):
        to_video("pan", drifting_video() | change)


def test_points_lie_in_raster_coordinates_and_frames_are_stretched_to_256() -> None:
    video = TapVideo("dot", np.full((1, 1, 2), 0.5), np.zeros((1, 1), bool), np.zeros((1, 128, 512, 3), np.uint8))
    assert video.clip().frames.shape == (1, 256, 256, 3)
    assert video.places().tolist() == [[[127.5, 127.5]]]  # the middle, between the pixels 127 and 128


def test_the_command_measures_an_installed_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0000_of_0010.pkl").write_bytes(pickle.dumps({"a": drifting_video(), "b": drifting_video(seed=1)}))
    np.savez(tmp_path / "c.npz", **drifting_video(seed=2))
    result = CliRunner().invoke(app, ["tap", str(tmp_path), "--tracker", "lk", "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert list(found["videos"]) == ["a", "b", "c"]
    assert (found["tracker"], found["query_mode"], found["mean"]["delta_avg"]["n"]) == ("lk", "first", 3)
    assert found["mean"]["delta_avg"]["mean"] > 0.9
    monkeypatch.setattr(registry, "load", lambda group, name: Exact)
    table = CliRunner().invoke(
        app, ["tap", str(tmp_path), "--tracker", "lk", "--limit", "1", "--query-mode", "strided"]
    )
    assert "mean of 1" in table.output
    assert "d_avg 100.0 [-, -], n 1" in table.output
    assert max(map(len, table.output.splitlines())) <= 80


def test_the_command_names_a_path_that_is_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tap", str(tmp_path), "--tracker", "lk"])
    assert isinstance(result.exception, ShapeError)
    assert "expected a .pkl or .npz" in str(result.exception)
