"""`--set key=value` follows the annotations of the method's Config, and says what is wrong when it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from motionbench import registry
from motionbench.config import build_config, describe, meaning, parse_settings, preset_name, setting
from motionbench.errors import ConfigError, UnknownNameError


class Mode(StrEnum):
    FAST = "fast"
    FULL_SIZE = "full_size"


@dataclass(frozen=True)
class Config:
    rank: int = setting(32, "of the LoRA")
    rate: float = 1e-3
    sparse: bool = True
    label: str = "plain"
    rule: Literal["paper", "released"] = "paper"
    mode: Mode = Mode.FAST
    shift: float | None = None
    times: tuple[float, ...] = (0.5,)
    size: tuple[int, int] = (4, 6)
    masks: Path = Path("masks")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError("rank must be at least 1")


class Method:
    name = "method"
    Config = Config
    presets: dict[str, dict[str, Any]] = {"paper": {"rank": 128}, "tiny": {"rank": 8, "sparse": False}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rank=64", 64),
        ("rate=2e-3", 2e-3),
        ("rate=3", 3.0),
        ("sparse=no", False),
        ("sparse=True", True),
        ("sparse=0", False),
        ("label=a=b", "a=b"),
        ("label=", ""),
        ("rule=released", "released"),
        ("mode=full-size", Mode.FULL_SIZE),
        ("shift=none", None),
        ("shift=3", 3.0),
        ("times=0.1, 0.9", (0.1, 0.9)),
        ("times=", ()),
        ("size=(8,9)", (8, 9)),
        ("masks=a/b", Path("a/b")),
    ],
)
def test_value_takes_the_type_of_its_annotation(text: str, value: object) -> None:
    (parsed,) = parse_settings(Config, [text]).values()
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rank=1.5", ["rank", "int", "'1.5'"]),
        ("rank=many", ["int", "'many'"]),
        ("rate=nan", ["finite"]),
        ("rate=inf", ["finite"]),
        ("sparse=maybe", ["true", "no", "'maybe'"]),
        ("rule=other", ["paper", "released"]),
        ("shift=high", ["float"]),
        ("times=a,b", ["float"]),
        ("size=1", ["2 values"]),
        ("size=1,2,3", ["2 values"]),
        ("rank", ["key=value"]),
    ],
)
def test_wrong_value_says_what_was_expected(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(Config, [text])
    for word in words:
        assert word in str(caught.value)


def test_unknown_key_names_valid_ones_and_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean rank or rate\?.*Valid keys: rank, rate, sparse"):
        parse_settings(Config, ["ramk=3"])


def test_dash_in_key_means_underscore() -> None:
    @dataclass(frozen=True)
    class Spaced:
        weight_decay: float = 0.0

    assert parse_settings(Spaced, ["weight-decay=0.5"]) == {"weight_decay": 0.5}


def test_last_setting_wins_over_preset_and_default() -> None:
    config = build_config(Method, backbone="tiny", preset="paper", settings=["rank=2", "rank=3"])
    assert config == Config(rank=3)


@pytest.mark.parametrize(
    ("backbone", "preset", "rank"),
    [("tiny", None, 8), ("wan", None, 128), ("tiny", "paper", 128), ("tiny", "none", 32)],
)
def test_preset_is_the_asked_one_then_the_backbones_then_the_papers(
    backbone: str, preset: str | None, rank: int
) -> None:
    assert build_config(Method, backbone=backbone, preset=preset).rank == rank


def test_method_without_presets_keeps_its_defaults() -> None:
    class Plain:
        name = "plain"
        Config = Config
        presets: dict[str, dict[str, Any]] = {}

    assert build_config(Plain, backbone="tiny") == Config()
    assert preset_name(Plain, "tiny", None) == "none"


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"papr.*paper, tiny, none"):
        build_config(Method, backbone="tiny", preset="papr")


def test_value_that_the_dataclass_refuses_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="rank must be at least 1"):
        build_config(Method, backbone="tiny", settings=["rank=0"])


def test_description_lists_every_key_with_type_and_default() -> None:
    rows = {row.key: (row.type, row.default) for row in describe(Config)}
    assert list(rows) == [*Config.__dataclass_fields__]
    assert rows["rank"] == ("int", "32")
    assert rows["rule"] == ("paper | released", "paper")


def test_a_setting_says_what_it_means_also_where_a_subclass_changes_its_default() -> None:
    @dataclass(frozen=True)
    class Wider(Config):
        rank: int = 64
        own: int = setting(1, "of this class")

    (rank,) = (row for row in describe(Wider) if row.key == "rank")
    assert (rank.default, rank.help) == ("64", "of the LoRA")
    assert (Wider().own, meaning(Wider, "own"), meaning(Wider, "rate")) == (1, "of this class", "")
    with pytest.raises(ConfigError, match=r"--set rank: expected int, got 'x' \(rank: of the LoRA\)"):
        parse_settings(Wider, ["rank=x"])


@pytest.mark.parametrize("name", registry.names("methods"))
def test_every_setting_of_every_installed_method_says_what_it_means(name: str) -> None:
    rows = describe(registry.load("methods", name).Config)
    assert [row.key for row in rows if not row.help] == []
