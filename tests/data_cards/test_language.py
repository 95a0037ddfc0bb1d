"""Captions: what is written is understood, and so is what users write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motionbench.data_cards.world.language import (
    COLOR_NAMES,
    FIGURES,
    Subject,
    parse_caption,
    vocabulary,
    write_caption,
)
from motionbench.data_cards.world.scenes import SCENE_NAMES
from motionbench.data_cards.world.shapes import OBJECT_SHAPES
from motionbench.data_cards.world.training import CATEGORY_SHARES, draw_training

objects = st.builds(Subject, st.sampled_from(OBJECT_SHAPES), st.sampled_from(COLOR_NAMES))
figures = st.builds(Subject, st.sampled_from(FIGURES), st.sampled_from(COLOR_NAMES))
scenes = st.sampled_from(SCENE_NAMES)
phrases = st.sampled_from(["", "moving", "moving left", "bouncing", "moving in a circle"])


@given(scenes, st.lists(objects, min_size=1, max_size=4), phrases)
def test_object_captions_are_read_back(scene: str, subjects: list[Subject], phrase: str) -> None:
    parsed = parse_caption(write_caption("multi_object", scene, subjects, [phrase] * len(subjects)))
    assert parsed.content.scene == scene
    assert parsed.content.subjects == tuple(subjects)
    assert set(parsed.motion) <= set(phrase.split())
    assert not parsed.unknown


@given(scenes, figures, st.sampled_from(["", "moving", "walking to the left", "dancing"]))
def test_figure_captions_are_read_back(scene: str, figure: Subject, phrase: str) -> None:
    parsed = parse_caption(write_caption("human", scene, [figure], [phrase]))
    assert (parsed.content.scene, parsed.content.subjects) == (scene, (figure,))


@given(scenes, st.lists(objects, min_size=1, max_size=2), st.sampled_from(["", "moves", "pans left", "zooms in"]))
def test_camera_captions_are_read_back(scene: str, subjects: list[Subject], phrase: str) -> None:
    parsed = parse_caption(write_caption("camera", scene, subjects, [""] * len(subjects), phrase))
    assert (parsed.content.scene, parsed.content.subjects) == (scene, tuple(subjects))


@given(st.text(max_size=60))
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    assert set(parse_caption(text).motion) <= set(vocabulary())


@pytest.mark.parametrize(
    ("text", "scene", "subjects"),
    [
        ("On the grass, a red ball rolls.", "grass", (Subject("ball", "red"),)),
        ("in the snow a BLUE cube and a star, yellow", "snow", (Subject("square", "blue"), Subject("star", "yellow"))),
        ("a woman in a green shirt walks through the town", "city", (Subject("person", "green"),)),
        ("over the ocean: the camera pans, with a pink heart", "sea", (Subject("heart", "pink"),)),
        ("a robot in the woods", "forest", (Subject("robot", ""),)),
        ("something nice", None, ()),
    ],
)
def test_prompts_as_users_write_them(text: str, scene: str | None, subjects: tuple[Subject, ...]) -> None:
    content = parse_caption(text).content
    assert content.scene == scene
    assert content.subjects == subjects


def test_unknown_words_are_named_in_order() -> None:
    assert parse_caption("a shiny red ball rolling on the grass").unknown == ("shiny", "rolling")


def test_every_word_of_the_vocabulary_is_used_in_training() -> None:
    used: set[str] = set()
    rng = np.random.default_rng(0)
    for category in CATEGORY_SHARES:
        used |= {word for caption in draw_training(rng, category, 300).captions() for word in caption.split()}
    assert used == set(vocabulary())
