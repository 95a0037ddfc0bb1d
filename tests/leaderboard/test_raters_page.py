"""The raters' page in a real browser: opened from disk, by keyboard and by touch, to a file that counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from motionbench.leaderboard.raters.answers import collect, read_key
from motionbench.leaderboard.raters.kit import KitPlan, make_kit
from page_witness import Witness, wait_until

SKIP = "clips().forEach((clip) => { clip.currentTime = clip.duration; })"  # the test need not see them to the end
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, gallery: Path) -> Path:
    out = tmp_path_factory.mktemp("kit")
    make_kit([gallery], KitPlan(out, questions=12, per_rater=4, catches=2))
    return out


@pytest.fixture
def open_page(browser: Any, kit: Path) -> Iterator[Callable[..., Any]]:
    witness = Witness(browser, kit / "page" / "index.html")
    yield witness.open
    witness.close()
    assert witness.complaints == []


def begin(page: Any) -> None:
    page.click("#begin")
    wait_until(page, "clips().every((clip) => clip.readyState >= 2)")


def watch(page: Any) -> None:
    wait_until(page, "clips().every((clip) => clip.readyState >= 2)")
    page.evaluate(SKIP)
    wait_until(page, "view.watched")


def download(page: Any, folder: Path) -> Path:
    with page.expect_download() as held:
        page.click("#download")
    target = folder / held.value.suggested_filename
    held.value.save_as(target)
    return target


def test_a_whole_session_by_keyboard_ends_in_a_file_that_counts(
    open_page: Callable[..., Any], kit: Path, tmp_path: Path
) -> None:
    page = open_page()
    key = read_key(kit / "key.json")
    assert page.text_content("#count") == "6"
    begin(page)
    for _ in range(6):
        watch(page)
        question, left = page.evaluate(
            "[session.order[session.answers.length].question, session.order[session.answers.length].left]"
        )
        right = key["questions"][question].get("right", "a")
        page.keyboard.press("ArrowLeft" if left == right else "ArrowRight")
    page.wait_for_selector("#finish:not([hidden])")
    file = download(page, tmp_path)
    assert file.name == f"answers-{page.evaluate('session.rater')}.json"
    assert json.loads(page.input_value("#text")) == json.loads(file.read_text())
    found = collect([file], key)
    assert found.faults == found.dropped == {}
    assert [vote.choice for vote in found.votes] == ["a"] * 4


def test_answers_wait_until_the_clips_were_seen_and_can_be_taken_back(open_page: Callable[..., Any]) -> None:
    page = open_page()
    begin(page)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("session.answers.length") == 0
    assert page.is_disabled("#answer-left")
    wait_until(page, "view.watched")  # 2 s: seen in full
    page.keyboard.press("ArrowDown")
    assert page.evaluate("session.answers.map((answer) => answer.choice)") == ["same"]
    assert page.text_content("#place") == "2 of 6"
    page.keyboard.press("Backspace")
    assert page.evaluate("session.answers.length") == 0
    assert page.text_content("#place") == "1 of 6"


def test_all_clips_take_as_long_as_the_reference_and_play_again(open_page: Callable[..., Any]) -> None:
    page = open_page()
    begin(page)
    lasts = page.evaluate("clips().map((clip) => clip.duration / clip.playbackRate)")
    assert max(lasts) == pytest.approx(min(lasts), rel=1e-3)
    watch(page)
    wait_until(page, "clips().every((clip) => clip.currentTime > 0 && clip.currentTime < clip.duration / 2)")
    assert page.evaluate("clips().every((clip) => clip.muted)")


def test_a_reload_goes_on_where_it_was_and_another_person_begins_anew(open_page: Callable[..., Any]) -> None:
    page = open_page()
    begin(page)
    watch(page)
    page.keyboard.press("ArrowRight")
    rater, order = page.evaluate("[session.rater, session.order]")
    page.reload()
    assert page.text_content("#begin") == "Go on"
    assert page.evaluate("[session.rater, session.order]") == [rater, order]
    begin(page)
    assert page.text_content("#place") == "2 of 6"
    page.click("#stop")
    assert page.text_content("#said") == "1 of 6 questions are answered."
    page.click("#anew")
    assert page.evaluate("session.rater") != rater
    assert page.text_content("#begin") == "Begin"


def test_order_sides_and_choice_of_questions_are_drawn_evenly(open_page: Callable[..., Any], kit: Path) -> None:
    page = open_page()
    drawn = page.evaluate("Array.from({ length: 400 }, () => drawOrder(study.questions, study.per_rater))")
    key = read_key(kit / "key.json")
    catches = {name for name, question in key["questions"].items() if "catch" in question}
    for order in drawn:
        names = [one["question"] for one in order]
        assert len(set(names)) == 6
        assert catches <= set(names)
    asked = Counter(one["question"] for order in drawn for one in order if one["question"] not in catches)
    assert len(asked) == 12
    assert min(asked.values()) > 80  # 133 expected
    lefts = Counter(one["left"] for order in drawn for one in order)
    assert abs(lefts["a"] - lefts["b"]) < 250  # 2,400 draws: five standard deviations
    places = Counter(place for order in drawn for place, one in enumerate(order) if one["question"] in catches)
    assert min(places.values()) > 80  # catch trials come anywhere


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_a_question_at_once(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(color_scheme=scheme, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap("#begin")
    watch(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    boxes = {name: page.locator(f"#{name}").bounding_box() for name in ("reference", "left", "right", "answer-right")}
    assert boxes["answer-right"]["y"] + boxes["answer-right"]["height"] <= 844
    assert boxes["answer-right"]["height"] >= 44  # a thumb's width
    assert boxes["reference"]["y"] + boxes["reference"]["height"] <= boxes["left"]["y"]
    assert boxes["left"]["x"] + boxes["left"]["width"] <= boxes["right"]["x"]
    page.tap("#answer-left")
    assert page.evaluate("session.answers.length") == 1


def test_a_wide_window_has_the_reference_between_the_two(open_page: Callable[..., Any]) -> None:
    page = open_page()
    begin(page)
    left, middle, right = (page.locator(f"#{name}").bounding_box() for name in ("left", "reference", "right"))
    assert left["x"] < middle["x"] < right["x"]
    last = page.locator("#answer-same").bounding_box()
    assert last["y"] + last["height"] <= 900


def test_who_wants_less_motion_starts_the_clips_by_hand(open_page: Callable[..., Any]) -> None:
    page = open_page(reduced_motion="reduce")
    begin(page)
    assert page.evaluate("clips().every((clip) => clip.paused)")
    assert "Play again" in page.text_content("#hint")
    page.keyboard.press(" ")
    wait_until(page, "view.watched")
    page.wait_for_timeout(500)
    assert page.evaluate("clips().every((clip) => clip.ended)")


def test_clips_beside_the_page_play_and_a_missing_one_can_be_passed(
    browser: Any, gallery: Path, tmp_path: Path
) -> None:
    make_kit([gallery], KitPlan(tmp_path, questions=3, per_rater=3, catches=0, embed_megabytes=0))
    witness = Witness(browser, tmp_path / "page" / "index.html")
    page = witness.open()
    begin(page)
    watch(page)
    page.keyboard.press("ArrowLeft")
    for file in (tmp_path / "page" / "media").iterdir():
        file.unlink()
    page.reload()
    page.click("#begin")
    wait_until(page, "view.broken")
    assert page.is_disabled("#answer-left")
    page.click("#answer-same")
    assert page.evaluate("session.answers.at(-1).choice") == "broken"
    assert all("ERR_FILE_NOT_FOUND" in line for line in witness.complaints)
    witness.close()


def test_everything_has_a_name(open_page: Callable[..., Any]) -> None:
    page = open_page()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, a, textarea, video, progress, section')]
            .filter((one) => !['aria-label', 'aria-labelledby'].some((name) => one.hasAttribute(name)))
            .filter((one) => !one.textContent.trim())
            .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
