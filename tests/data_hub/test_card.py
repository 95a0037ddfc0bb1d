"""The card: what the renderer writes passes the validator, and the validator finds what is missing."""

from __future__ import annotations

import pytest
from motionbench.data_cards.hub.card import render_card
from motionbench.data_cards.hub.card_check import check_card
from motionbench.data_cards.hub.catalog import CategoryEntry, SplitEntry

ENTRY = CategoryEntry("f" * 16, 10, 30, 2_000_000, {"data/camera/lite-00000-of-00001.parquet": "0" * 64})
CATALOG = {
    "lite": SplitEntry(
        "r" * 16, {"camera": ENTRY}, (), {"caption": 10, "scene": 20}, {"CC-BY-4.0": 10}, {"rendered": 10}
    )
}
CARD = render_card("ann/motion", CATALOG)


def test_a_rendered_card_is_valid_and_counts_what_the_catalog_holds() -> None:
    assert check_card(CARD) == []
    assert "license: cc-by-4.0" in CARD
    assert "| `lite` | `rrrrrrrrrrrrrrrr` | 10 | - | - | - | 30 | 2.0 |" in CARD
    assert "not THUDM's MotionBench" in " ".join(CARD.replace("*", "").split())


def test_several_licenses_are_all_named_and_unknown_ones_point_to_the_section() -> None:
    entry = SplitEntry("r", {"camera": ENTRY}, (), {}, {"CC-BY-4.0": 1, "CC0-1.0": 1, "Pexels": 1}, {})
    card = render_card("ann/motion", {"lite": entry})
    assert check_card(card) == []
    assert "license:\n- cc-by-4.0\n- cc0-1.0\n- other\n" in card
    assert "license_link" in card


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("---\n", "", "front matter is missing"),
        ("license: cc-by-4.0\n", "", "lacks license"),
        ("license: cc-by-4.0", "license: CC BY 4", "not one the Hub knows"),
        ("license: cc-by-4.0", "license: other", "needs license_name"),
        ("- text-to-video", "- motion", "task 'motion'"),
        ("- n<1K", "- small", "size 'small'"),
        ("config_name: camera", "config_name: cameras", "is not a category"),
        ("split: lite", "split: a-b", "must be letters"),
        ("data/camera/lite-00000-of-00001.parquet", "../lite.parquet", "is not a parquet file of the repository"),
        ("## Limits", "## Remarks", "section 'limits' is missing"),
        ("## Which MotionBench this is", "## What this is", "section 'which motionbench' is missing"),
        ("pretty_name: ", "pretty_name: [", "is not YAML"),
    ],
)
def test_a_fault_in_a_card_is_found(old: str, new: str, problem: str) -> None:
    assert old in CARD
    found = check_card(CARD.replace(old, new, 1))
    assert any(problem in line for line in found), found


def test_an_empty_section_is_found() -> None:
    head, _, rest = CARD.partition("## Uses\n")
    tail = rest[rest.index("## Limits") :]
    assert check_card(f"{head}## Uses\n\n{tail}") == ["section 'uses' is empty or says next to nothing"]
