"""The backbone's exam: what captions demand, when tracks meet it, how shares are counted, whether the probe learns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from motionbench.metrics.tiny_clip.content import ContentWords

from motionbench.registry import load
from motionbench.tracks import Tracks, grid_queries
from training.tiny_backbone import content_probe
from training.tiny_backbone.content_probe import ContentProbe, Pool, Verdict, gather, probe_loss
from training.tiny_backbone.exam import Seen, examine_content, examine_directions, examine_diversity, share
from training.tiny_backbone.exam_clips import Prompts, held_out
from training.tiny_backbone.named_motion import camera_change, caption_to_demands, is_met, mean_cosine

SIZE, FRAMES = 64, 17
START = grid_queries(SIZE, SIZE, 10)
TIME = np.linspace(0, 1, FRAMES)[None, :, None]
WORDS = ContentWords(
    ("bricks", "city", "desert", "forest", "grass", "sea", "snow", "space"),
    ("blue", "cyan", "green", "orange", "pink", "purple", "red", "yellow"),
    ("ball", "cross", "diamond", "heart", "person", "ring", "robot", "square", "star", "triangle"),
)


def tracks_of(points: Any) -> Tracks:
    inside = ((points >= -0.5) & (points <= SIZE - 0.5)).all(-1)
    return Tracks(np.asarray(points, np.float32), inside, SIZE, SIZE)


def object_moving(angle_degrees: float, pixels: float = 20.0) -> tuple[Tracks, Any]:
    """A still scene with a red square of 4 x 4 grid points in its middle that moves; y down, so 90 degrees is down."""
    own = (np.abs(START - 31.5) < 13).all(1)
    heading = np.array([np.cos(np.radians(angle_degrees)), np.sin(np.radians(angle_degrees))])
    points = START[:, None] + own[:, None, None] * TIME * heading * pixels
    return tracks_of(points), np.where(own, "red", "")


def camera_moving(shift: tuple[float, float] = (0.0, 0.0), growth: float = 1.0, clockwise: float = 0.0) -> Tracks:
    """A scene that slides, grows and turns (radians, clockwise as seen on the screen) evenly."""
    turn = (START[:, None] - 31.5).astype(np.complex128)
    z = (turn[..., 0] + 1j * turn[..., 1]) * np.exp(TIME[..., 0] * (np.log(growth) + 1j * clockwise))
    return tracks_of(np.stack([z.real, z.imag], -1) + 31.5 + TIME * np.array(shift))


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red ball moving left on the bricks", [("object left", "red")]),
        ("an orange heart moving up left on the bricks", [("object diagonal", "orange")]),
        ("an orange square moving left and a cyan ball moving right in the space",
         [("object left", "orange"), ("object right", "cyan")]),
        ("a red square and a cyan cross moving up on the bricks while the camera moves",
         [("object up", "red"), ("object up", "cyan")]),
        ("a pink ring moving left and an orange square spinning on the grass", [("object left", "pink")]),
        ("a person in a blue shirt walking to the left in the space", [("figure left", "blue")]),
        ("a purple robot jumping to the right on the sea", [("figure right", "purple")]),
        ("the camera tilts up and zooms in over the sea with a red ring", [("camera tilts", ""), ("camera zooms", "")]),
        ("a red ball moving in a circle on the sea", []),
        ("a person in a red shirt kicking on the grass", []),
        ("the camera shakes over the sea with a red ball", []),
        ("a red diamond in the desert", []),
        ("the sea with a yellow heart", []),
    ],
)  # fmt: skip
def test_a_caption_demands_the_directions_that_it_names(caption: str, expected: list[tuple[str, str]]) -> None:
    assert [(d.kind, d.color) for d in caption_to_demands(caption)] == expected


@pytest.mark.parametrize(("angle", "met"), [(180, True), (140, True), (220, True), (130, False), (0, False)])
def test_an_object_must_go_within_45_degrees_of_its_word(angle: float, met: bool) -> None:
    (demand,) = caption_to_demands("a red ball moving left on the bricks")
    assert is_met(demand, *object_moving(angle)) is met


def test_an_object_that_is_missing_or_still_meets_nothing() -> None:
    (demand,) = caption_to_demands("a blue ball moving left on the bricks")
    assert not is_met(demand, *object_moving(180)), "the one that moves is red"
    (demand,) = caption_to_demands("a red ball moving left on the bricks")
    assert not is_met(demand, *object_moving(180, pixels=0.2))


@pytest.mark.parametrize(
    ("words", "tracks"),
    [
        ("pans left", camera_moving((15, 0))),
        ("pans right", camera_moving((-15, 3))),
        ("tilts up", camera_moving((0, 15))),
        ("tilts down", camera_moving((0, -15))),
        ("orbits left", camera_moving((15, 5))),
        ("zooms in", camera_moving(growth=1.3)),
        ("zooms out", camera_moving(growth=1 / 1.3)),
        ("rolls left", camera_moving(clockwise=0.5)),
        ("rolls right", camera_moving(clockwise=-0.5)),
    ],
)
def test_the_scene_moves_against_the_camera(words: str, tracks: Tracks) -> None:
    none = np.full(len(START), "")
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up", "in": "out", "out": "in"}
    verb, side = words.split()
    for told, met in ((side, True), (opposite[side], False)):
        (demand,) = caption_to_demands(f"the camera {verb} {told} over the sea with a red ball")
        assert is_met(demand, tracks, none) is met
        assert not is_met(demand, camera_moving(), none), "a still camera does neither"


def test_camera_change_is_the_sum_of_its_steps() -> None:
    change = camera_change(camera_moving((9.0, -4.0), growth=1.2, clockwise=0.3))
    assert change is not None
    assert change[2] == pytest.approx(np.log(1.2), abs=0.01)
    assert change[3] == pytest.approx(0.3, abs=0.01)


def test_the_renderers_own_clips_meet_their_captions_by_true_tracks() -> None:
    batch = load("worlds", "procedural")().sample(200, seed=77, device="cpu", points=48)
    met, kinds = [], set()
    for i, caption in enumerate(batch.captions):
        if batch.labels[i]["category"] == "multi_object":
            continue  # the world does not tell which object a point lies on
        tags = np.where(batch.background[i].numpy(), "", batch.labels[i]["color"])
        tracks = Tracks(batch.points[i].numpy(), batch.visible[i].numpy(), SIZE, SIZE)
        for demand in caption_to_demands(caption):
            met.append(is_met(demand, tracks, tags))
            kinds.add(demand.kind)
    assert len(met) >= 25
    assert {kind.split()[0] for kind in kinds} == {"object", "figure", "camera"}
    assert np.mean(met) >= 0.95


def test_mean_cosine_is_that_of_all_pairs() -> None:
    headings = np.random.default_rng(0).standard_normal((7, 2))
    pairs = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(headings)
        for j, b in enumerate(headings)
        if i != j
    ]
    assert mean_cosine(headings) == pytest.approx(np.mean(pairs))
    assert mean_cosine(np.array([[1.0, 0], [3.0, 0]])) == pytest.approx(1)
    assert mean_cosine(np.array([[1.0, 0], [-2.0, 0]])) == pytest.approx(-1)
    assert mean_cosine(np.zeros((1, 2))) is None


def test_a_share_has_its_wilson_interval_and_none_stays_none() -> None:
    found = share(8, 10)
    assert found["share"] == 0.8
    assert (found["low"], found["high"]) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert share(0, 0)["share"] is None


class KnowAll:
    """A probe that answers as it is told."""

    words = WORDS

    def __init__(self, *answers: Verdict) -> None:
        self.answers = list(answers)

    def judge(self, frames: Any, colors: tuple[str, ...]) -> Verdict:
        return self.answers.pop(0)


def test_a_clip_counts_only_if_every_subject_is_right() -> None:
    captions = [
        "a red ball in the sea",
        "a red ball and a blue star in the snow",
        "a red ball and a blue star in the snow",
    ]
    labels = [{"scene": "sea"}, {"scene": "snow"}, {"scene": "snow"}]
    probe: Any = KnowAll(
        Verdict("sea", ("red",), ("ball",)),
        Verdict(
            "snow", ("blue", "red"), ("star", "ring")
        ),  # kinds in the order of the caption's sorted pairs: blue, red
        Verdict("city", ("green", "red"), ("star", "ball")),
    )
    clips = [np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8)] * 3
    table = examine_content(Prompts(captions, labels, torch.empty(0)), clips, probe)
    assert table["one"]["shape"]["share"] == 1
    assert table["several"]["shape"]["share"] == 0.5
    assert table["several"]["color"]["share"] == 0.5
    assert table["all"]["scene"] == share(2, 3)
    assert table["subjects"]["ball"] == share(2, 3)
    assert table["subjects"]["star"] == share(2, 2)


def test_directions_and_diversity_count_clips() -> None:
    captions = [f"a red ball {words}in the sea" for words in ("moving left ", "moving left ", "", "moving ")]
    seen = {i: Seen(*object_moving(angle)) for i, angle in ((0, 180), (1, 0))}
    table = examine_directions(captions, seen)
    assert table["clips"] == table["kinds"]["object left"] == share(1, 2)
    found = examine_diversity(captions, {2: Seen(*object_moving(30)), 3: Seen(*object_moving(0, pixels=0.0))})
    assert found["silent"]["share"] == 1
    assert found["moving"]["share"] == 0
    assert found["moving"]["mean_cosine"] is None


def test_held_out_prompts_are_the_same_every_time() -> None:
    world = load("worlds", "procedural")()
    first, second = held_out(world, 4), held_out(world, 4)
    assert first.captions == second.captions
    assert first.rows(lambda i: i > 1) == [2, 3]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return gather(load("worlds", "procedural")(), None, WORDS, clips=20, decoded=False, seed=3)


def test_a_pool_labels_points_where_they_are_seen(pool: Pool) -> None:
    assert pool.frames.shape == (60, 3, SIZE, SIZE)
    assert set(pool.owner.unique().tolist()) == {-1, 0, 1}
    assert pool.cells.min() >= 0
    assert pool.cells.max() < content_probe.GRID
    named = pool.subjects[..., 0] >= 0
    assert named[:, 0].all()
    assert (named == (pool.subjects[..., 1] >= 0)).all()


def test_the_probe_learns_scenes_and_colors_within_a_few_steps(pool: Pool) -> None:
    torch.manual_seed(0)
    probe = ContentProbe(WORDS, width=16)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-2)
    generator, losses = torch.Generator().manual_seed(0), []
    for step in range(24):
        loss = probe_loss(probe, pool, torch.randint(60, (12,), generator=generator), mirrored=step % 2 == 1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_probe_reads_each_kind_where_its_color_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A red star on the left, a blue ball on the right, nothing elsewhere, as the network would answer it."""
    probe = ContentProbe(WORDS)
    kind, color = torch.full((5, 11, 32, 32), -20.0), torch.full((5, 8, 32, 32), -20.0)
    kind[:, 10] = 0.0
    for columns, what, tint in ((slice(2, 10), "star", "red"), (slice(20, 28), "ball", "blue")):
        kind[:, 10, 8:16, columns] = -20.0
        kind[:, WORDS.shape.index(what), 8:16, columns] = 0.0
        color[:, WORDS.color.index(tint), 8:16, columns] = 0.0
    scene = torch.full((5, 8), -20.0)
    scene[:, WORDS.scene.index("snow")] = 0.0
    monkeypatch.setattr(
        probe, "_look", lambda frames: (kind[: len(frames)], color[: len(frames)], scene[: len(frames)])
    )
    clip = np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8)
    assert probe.judge(clip, ("blue", "red")) == Verdict("snow", ("blue", "red"), ("ball", "star"))
    points = np.array([[10, 20], [46, 20], [30, 60]], np.float32)
    assert probe.tag(clip[0], points).tolist() == ["red", "blue", ""]


def test_round_trip_keeps_values_and_order() -> None:
    same = SimpleNamespace(fps=8.0, encode=lambda clip: clip, decode=lambda latents: latents)
    frames = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(content_probe.round_trip(same, frames), frames, atol=0.5 / 255 + 1e-6)
