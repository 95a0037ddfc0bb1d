"""The page in a real browser: Debian's Chromium, driven by Playwright, without a network."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from motionbench.leaderboard.page import PagePlan, make_page
from page_witness import Witness, wait_until
from results_factory import HOSTILE, RunRecipe, write_run

from motionbench.pair import SHAPE
from motionbench.split import Split
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache

METHODS = "section[data-board] >> nth=0 >> tbody.methods >> tr"
FRAME = 1 / 8  # seconds
VIDEOS = "[...document.querySelectorAll('#clips video')]"


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory, gallery: Path, split: Split) -> Path:
    folder = tmp_path_factory.mktemp("page")
    for method in ("followyourmotion", "backbone"):
        recipe = RunRecipe(method, backbone="wan2.1-1.3b", tracker="lk v1", videos=False)
        write_run(folder / "wan" / method, split, recipe)
    store = ResultStore(gallery / "smm")
    TrackCache("lk", device="cpu", grid=SHAPE.grid)(store.read_video(store.records()[0]))  # as scoring leaves them
    make_page([gallery, folder / "wan"], PagePlan(folder / "page.html", tracks="cached"))
    return folder / "page.html"


@pytest.fixture(scope="session")
def page_data(page_file: Path) -> dict[str, Any]:
    text = page_file.read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text.partition('id="page-data">')[2].partition("</script>")[0])
    return data


@pytest.fixture
def open_page(browser: Any, page_file: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page of one's own, with options; when the test ends, nobody may have complained."""
    witness = Witness(browser, page_file)
    yield witness.open
    witness.close()
    assert witness.complaints == []


@pytest.fixture(scope="module")
def witness(browser: Any, page_file: Path) -> Iterator[Witness]:
    """One page for the tests that need no other: parsing plotly takes a second each time."""
    held = Witness(browser, page_file)
    held.open(reduced_motion="reduce")  # then no clip plays by itself
    yield held
    held.close()


@pytest.fixture
def page(witness: Witness) -> Iterator[Any]:
    """The shared page, as it was when it was opened."""
    (shared,) = witness.contexts[0].pages
    shared.evaluate("() => { closeClips(); resetFilters(); scrollTo(0, 0); }")
    yield shared
    assert witness.complaints == []


def column(page: Any, name: str, rows: str = METHODS) -> list[str]:
    values: list[str] = (
        page.locator(rows)
        .locator(f"[data-column='{name}']")
        .evaluate_all("cells => cells.map(cell => cell.dataset.value)")
    )
    return values


def numbers(values: list[str]) -> list[float]:
    return [float(value) for value in values if value]


def method_id(data: dict[str, Any], method: str) -> str:
    return next(entry["id"] for entry in data["boards"][0]["entries"] if entry["method"] == method)


def test_the_table_answers_within_two_seconds(open_page: Callable[..., Any]) -> None:
    times = """[
        performance.getEntriesByName('interactive')[0].startTime, performance.getEntriesByType('navigation')[0].duration
    ]"""
    marks = [open_page().evaluate(times) for _ in range(2)]
    assert all(min(held) < 2000 for held in zip(*marks, strict=True))  # the better one: other work is not the page's


def test_a_heading_sorts_and_controls_stay_pinned(page: Any) -> None:
    pinned = "section[data-board] >> nth=0 >> tbody.controls >> tr"
    controls = column(page, "method", pinned)
    heading = page.locator("th[data-column='text_alignment']").first
    heading.get_by_role("button").click()
    falling = numbers(column(page, "text_alignment"))
    assert falling == sorted(falling, reverse=True)
    assert page.locator("th[data-column='text_alignment']").first.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")  # the heading keeps the focus, so the keyboard sorts too
    assert numbers(column(page, "text_alignment")) == sorted(falling)
    assert sorted(column(page, "method", pinned)) == sorted(controls)
    assert column(page, "method", "tbody.ceilings >> nth=0 >> tr") == ["oracle"]


def test_missing_values_come_last_both_ways(page: Any) -> None:
    button = page.locator("th[data-column='fit_seconds'] button").first
    button.click()
    assert column(page, "fit_seconds")[-1] == ""
    page.locator("th[data-column='fit_seconds'] button").first.click()
    assert column(page, "fit_seconds")[-1] == ""


def test_a_gap_is_sorted_by_its_distance_from_zero(page: Any) -> None:
    page.locator("th[data-column='temporal_gap'] button").first.click()
    distances = [abs(value) for value in numbers(column(page, "temporal_gap"))]
    assert distances == sorted(distances)


def test_filters_show_the_view_that_was_computed(page: Any, page_data: dict[str, Any]) -> None:
    page.select_option("#choose-category", "human")
    page.select_option("#choose-level", "scene")
    view = page_data["boards"][0]["views"]["scene|human"]
    for row in page.locator(METHODS).all():
        stated = row.locator("[data-column='motion_fidelity']").get_attribute("data-value")
        cell = view[row.get_attribute("data-entry")]["metrics"].get("motion_fidelity")
        assert stated == "" if cell is None else float(stated) == cell["mean"]


def test_training_and_backbone_filter_rows_and_tables(page: Any) -> None:
    assert page.locator("section[data-board]").count() == 2
    page.select_option("#choose-start", "noise")
    assert "smm" not in column(page, "method")
    page.select_option("#choose-start", "")
    page.select_option("#choose-training", "free")
    assert column(page, "method") == ["smm"]
    assert page.locator("section[data-board] >> nth=0 >> tbody.controls tr").count() == 4  # controls pass every filter
    page.select_option("#choose-backbone", "wan2.1-1.3b")
    assert page.locator("section[data-board]").count() == 1
    page.get_by_role("button", name="Reset", exact=True).click()
    assert page.locator("section[data-board]").count() == 2
    assert len(column(page, "method")) == 4


def test_relative_to_the_backbone_shows_paired_differences(page: Any, page_data: dict[str, Any]) -> None:
    page.check("#relative")
    view = page_data["boards"][0]["views"]["all|all"]
    for method in ("followyourmotion", "smm"):
        cell = page.locator(f"tr[data-entry='{method_id(page_data, method)}'] [data-column='motion_fidelity']")
        expected = view[method_id(page_data, method)]["relative"]["motion_fidelity"]
        assert float(cell.get_attribute("data-value")) == expected["difference"]
        assert cell.inner_text().startswith("+")


def test_there_is_no_total_until_the_reader_weighs(page: Any, page_data: dict[str, Any]) -> None:
    assert page.locator("th[data-column='total']").count() == 0
    page.locator("#weight-chooser summary").click()
    page.locator("#weight-chooser input[name='motion_fidelity']").fill("3")
    entry = method_id(page_data, "smm")
    cell = page_data["boards"][0]["views"]["all|all"][entry]["metrics"]["motion_fidelity"]
    total = page.locator(f"tr[data-entry='{entry}'] [data-column='total']").get_attribute("data-value")
    assert float(total) == pytest.approx(cell["normalized"])


def test_a_view_can_be_shared_by_its_address(page: Any, open_page: Callable[..., Any]) -> None:
    page.select_option("#choose-category", "camera")
    page.locator("th[data-column='method'] button").first.click()
    address = page.evaluate("location.hash")
    other = open_page(address=address)
    assert other.input_value("#choose-category") == "camera"
    assert column(other, "method") == sorted(column(other, "method"))


def test_the_csv_equals_the_table(page: Any) -> None:
    page.select_option("#choose-category", "camera")
    page.locator("th[data-column='text_alignment'] button").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Table as CSV").first.click()
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text(encoding="utf-8"), newline="")))
    shown = page.locator("section[data-board] >> nth=0 >> tbody >> tr").all()
    assert len(rows) == len(shown)
    for row, line in zip(rows, shown, strict=True):
        for cell in line.locator("[data-column]").all():
            name = cell.get_attribute("data-column")
            stated, value = row[name], cell.get_attribute("data-value")
            assert stated == value, name
            if name == "commit":
                assert cell.inner_text().split() == [stated, row["date"]]
            if name in ("motion_fidelity", "text_alignment") and stated:
                low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
                text = f"{float(stated):.3f} [{low:.3f}, {high:.3f}]".replace("-", "−")
                assert " ".join(cell.inner_text().split()).startswith(text)


def test_the_jsonl_holds_the_records_of_the_folders(page: Any, gallery: Path) -> None:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Records as JSONL").first.click()
    lines = [json.loads(line) for line in Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()]
    stores = [ResultStore(path.parent) for path in gallery.glob("*/run.json")]
    assert {line["key"] for line in lines} == {record.key for store in stores for record in store.records()}


def test_a_row_opens_its_clips_and_three_videos_play_in_step(page: Any) -> None:
    page.get_by_role("button", name="followyourmotion").first.click()
    wait_until(page, f"{VIDEOS}.filter(v => v.readyState >= 2).length === 3")
    page.click("#play-all")
    wait_until(page, "document.querySelector('#clips video').currentTime > 0.2")
    spread = page.evaluate(
        """async () => {
            const videos = [...document.querySelectorAll('#clips video')];
            const spreads = [];
            for (let i = 0; i < 30; i += 1) {
                await new Promise((resolve) => setTimeout(resolve, 40));
                const times = videos.map((video) => video.currentTime);
                spreads.push(Math.max(...times) - Math.min(...times));
            }
            return spreads.sort((a, b) => a - b);
        }"""
    )
    assert spread[len(spread) // 2] < FRAME / 2
    assert spread[-4] < FRAME  # at the loop's seam one may wait for another
    page.click("#play-all")
    page.wait_for_timeout(100)
    assert page.evaluate(f"{VIDEOS}.every(v => v.paused)")


def test_stepping_moves_all_three_by_one_frame(page: Any) -> None:
    page.get_by_role("button", name="smm").first.click()
    wait_until(page, f"{VIDEOS}.filter(v => v.readyState >= 2).length === 3")
    for step in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        wait_until(page, f"{VIDEOS}.every(v => !v.seeking && Math.floor(v.currentTime * 8) === {step})")
    drawn = (
        "[...document.querySelector('#clips canvas').getContext('2d').getImageData(0, 0, 999, 999).data].some(Boolean)"
    )
    wait_until(page, drawn)  # the tracks are there


def test_the_keyboard_alone_opens_plays_and_goes_through_the_clips(page: Any) -> None:
    page.get_by_role("button", name="smm").first.focus()
    page.keyboard.press("Enter")
    wait_until(page, f"{VIDEOS}.filter(v => v.readyState >= 2).length === 3")
    for plays in ("true", "false"):
        page.keyboard.press("Space")
        wait_until(page, f"openPlayers.wantsToPlay === {plays}")
    assert page.evaluate("document.getElementById('clips').open")
    keys = page.evaluate("shownRecords().map(record => record.key)")
    for index in (1, 2):
        page.keyboard.press("j")
        assert page.evaluate("dialogState.key") == keys[index]
    page.get_by_role("button", name="Next clip").focus()
    for index in (3, 4):  # the button is made anew for each clip, and keeps the focus
        page.keyboard.press("Enter")
        assert page.evaluate("dialogState.key") == keys[index]
    page.keyboard.press("k")
    assert page.evaluate("dialogState.key") == keys[3]
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "smm"


def test_prompts_are_shown_as_text(page: Any) -> None:
    page.get_by_role("button", name="smm").first.click()
    shown = []
    for _ in HOSTILE:
        shown.append(page.locator("#clips .facts dd").first.text_content())
        page.keyboard.press("j")
    assert shown == list(HOSTILE)
    assert page.evaluate("document.querySelectorAll('#clips script, #clips img').length") == 0
    assert page.locator("#clips .facts dd bdi").first.get_attribute("dir") == "auto"


def test_failures_are_listed_with_their_reasons(page: Any, gallery: Path) -> None:
    failed = [record for record in ResultStore(gallery / "twostagelora").records() if record.status == "failed"]
    assert failed
    page.get_by_role("button", name="twostagelora").first.click()
    page.select_option("select[aria-label='Which clips']", "failed")
    assert page.locator("#clips ol li").count() == len(failed)
    page.locator("#clips ol button").first.click()
    note = page.locator("#clips .failure")
    assert failed[0].reason in note.inner_text()
    assert "<b>not bold</b>" in note.inner_text()
    assert page.locator("#clips .no-video").count() == 2


def test_linked_videos_play_from_disk(open_page: Callable[..., Any], gallery: Path, tmp_path: Path) -> None:
    make_page([gallery / "smm"], PagePlan(tmp_path / "linked.html", media="link", tracks="none"))
    page = open_page(tmp_path / "linked.html")
    page.get_by_role("button", name="smm").first.click()
    wait_until(page, f"{VIDEOS}.filter(v => v.currentTime > 0).length === 3")


def test_all_figures_are_drawn_and_a_mark_opens_its_clip(page: Any) -> None:
    for name in ("trade", "cost", "profile", "ends", "strip"):
        page.locator(f"#plot-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{name} .main-svg")
    page.evaluate(
        """() => {
            const strip = document.getElementById('plot-strip');
            strip.emit('plotly_click', { points: [{ customdata: strip.data[0].customdata[0] }] });
        }"""
    )
    page.wait_for_selector("#clips[open] .players")
    page.keyboard.press("Escape")
    assert page.locator("#clips[open]").count() == 0


OVERLAPS = """(name) => {
    const box = (one) => one.getBoundingClientRect();
    const crosses = (a, b, from, to) => a[from] < b[to] - 1 && b[from] < a[to] - 1;
    const meets = (a, b) => crosses(a, b, 'left', 'right') && crosses(a, b, 'top', 'bottom');
    const plot = document.getElementById('plot-' + name);
    const bar = plot.querySelector('.modebar-container .modebar');
    const texts = [...plot.querySelectorAll('.legend text, .xtick text, .ytick text, .xtitle, .ytitle, .cbaxis text')];
    return bar === null ? null : texts.filter((one) => meets(box(one), box(bar))).map((one) => one.textContent);
}"""


@pytest.mark.parametrize("width", [1400, 800, 390])
def test_the_toolbar_of_a_figure_covers_no_legend_and_no_name(open_page: Callable[..., Any], width: int) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    for name in ("trade", "cost", "profile", "ends", "strip"):
        page.locator(f"#plot-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{name} .main-svg")
        wait_until(page, f"document.querySelectorAll('#plot-{name} text').length > 3")
        covered = page.evaluate(OVERLAPS, name)
        assert covered == ([] if width > 700 else None), name  # a phone has no toolbar


@pytest.mark.parametrize("width", [1920, 1400, 1100, 390])
def test_no_column_is_cut_off_at_the_edge(open_page: Callable[..., Any], width: int) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    wide = page.evaluate(
        "[...document.querySelectorAll('.table-scroll')].map(box => box.scrollWidth - box.clientWidth)"
    )
    assert max(wide) <= 0
    shown = page.evaluate("[...document.querySelectorAll('thead th')].map(one => one.dataset.column)")
    assert "commit" in shown or width < 1400  # a hash with its day, whole or, on small screens, not at first
    assert {"rank", "method", "normalized"} <= set(shown)
    ticked = page.evaluate("[...document.querySelectorAll('#column-chooser input:checked')].map(box => box.value)")
    assert set(ticked) == set(shown) - {"method"}
    page.set_viewport_size({"width": 1920, "height": 900})
    wait_until(page, "document.querySelector('thead th[data-column=license]') !== null")  # and back where there is room


def test_a_rank_stands_over_its_range_and_the_best_mean_first(page: Any) -> None:
    rows = page.evaluate(
        """() => [...document.querySelector('tbody.methods').children].map((row) => ({
            rank: row.querySelector('[data-column=rank]').innerText.split(/\\s+/),
            mean: Number(row.querySelector('[data-column=motion_fidelity]').dataset.value),
        }))"""
    )
    ranked = [row for row in rows if row["rank"][0] != "–"]
    assert [row["mean"] for row in ranked] == sorted((row["mean"] for row in ranked), reverse=True)
    assert [row["rank"][0] for row in ranked] == [str(i + 1) for i in range(len(ranked))]
    for row in ranked:
        low, _, high = row["rank"][1].partition("–")
        assert int(low) <= int(row["rank"][0]) <= int(high or low)


def test_the_pareto_front_holds_what_nobody_beats(page: Any) -> None:
    front = page.evaluate("paretoFront([[1, 5], [2, 4], [2, 5], [3, 1], [3, 1], [0, 9], [1, 1]])")
    assert front == [[0, 9], [2, 5], [3, 1], [3, 1]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_no_overflow_in_either_scheme(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    light = sum(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) > 384
    assert light == (scheme == "light")
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") == ("dark" if scheme == "light" else "light")


def test_paper_gets_the_tables_without_the_controls(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.emulate_media(media="print")
    assert not page.is_visible("#filters")
    assert page.is_visible("section[data-board] table")


def test_everything_has_a_name_and_headings_have_a_scope(page: Any) -> None:
    page.get_by_role("button", name="smm").first.click()
    page.wait_for_selector("#clips[open] .players")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary, video')]
            .filter((one) => !one.getAttribute('aria-label') && !one.textContent.trim() && !one.title)
            .filter((one) => !one.closest('label')?.textContent.trim())
            .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator(".plot:not([aria-label])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    pairs = [
        ("--ink", "--paper"), ("--ink", "--ground"), ("--quiet", "--paper"), ("--quiet", "--ground"),
        ("--accent", "--paper"), ("--accent", "--accent-soft"), ("--warn", "--warn-soft"), ("--warn", "--paper"),
        ("--good", "--good-soft"),
    ]  # fmt: skip
    for text, ground in pairs:
        colors = page.evaluate("names => names.map(name => ink(name))", [text, ground])
        assert contrast(*colors) >= 4.5, (text, ground)  # WCAG 2.2, 1.4.3


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
