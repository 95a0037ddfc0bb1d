"""`motionbench prefetch` with stand-in plugins: what is asked, what is told, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from motionbench import cli, registry
from motionbench.backbone import BackboneEntry
from motionbench.errors import MissingWeightsError

fetched: list[str] = []


class Heavy:
    @classmethod
    def prefetch(cls) -> str:
        fetched.append("heavy")
        return "/models/heavy.pt (MIT)"


class Far:
    @classmethod
    def prefetch(cls) -> str:
        raise MissingWeightsError("no network; save it as /models/far.pt by other means")


class Shipped:
    pass


def check() -> None:
    raise MissingWeightsError("get it by 'hf download big'")


BIG = BackboneEntry("A large one.", create=lambda runtime: None, revision=lambda: "1", check=check)


PLUGINS: dict[str, dict[str, Any]] = {
    "trackers": {"heavy": Heavy, "shipped": Shipped},
    "metrics": {"far_away": Far},
    "backbones": {"big": BIG},
}


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched.clear()
    names, resolve, load = registry.names, registry.resolve, registry.load
    monkeypatch.setattr(registry, "names", lambda g: sorted(PLUGINS[g]) if g in PLUGINS else names(g))
    monkeypatch.setattr(registry, "load", lambda g, n: PLUGINS[g][n] if g in PLUGINS else load(g, n))

    def find(group: Any, name: str) -> str:
        if group not in PLUGINS:
            return resolve(group, name)
        wanted = registry.canonical(name)
        if wanted not in PLUGINS[group]:
            raise registry.unknown(group[:-1], name, sorted(PLUGINS[group]))
        return wanted

    monkeypatch.setattr(registry, "resolve", find)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `motionbench prefetch ARGUMENTS`: (exit code, stdout, stderr)."""

    def invoke(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.app(["prefetch", *arguments], prog_name="motionbench")
        return int(ended.value.code or 0), *capsys.readouterr()

    return invoke


Run = Callable[..., tuple[int, str, str]]


def test_a_named_plugin_is_fetched_and_its_place_and_license_told(run: Run) -> None:
    code, out, _ = run("heavy")
    assert code == 0
    assert "/models/heavy.pt (MIT)" in out
    assert fetched == ["heavy"]


def test_without_names_all_that_can_be_fetched_is_and_a_failure_does_not_stop_the_rest(run: Run) -> None:
    code, out, err = run("--json")
    assert code == 1
    told = json.loads(out)
    assert told["fetched"] == {"heavy": "/models/heavy.pt (MIT)"}
    assert list(told["failed"]) == ["far_away"]  # a backbone's gigabytes are not fetched unasked
    assert "not fetched: far_away: no network" in err


def test_what_is_shipped_needs_nothing_and_a_dash_is_accepted(run: Run) -> None:
    assert "nothing to fetch" in run("shipped")[1]
    assert "no network" in run("far-away")[2]


def test_a_backbone_without_a_fetcher_says_how_to_get_its_weights(run: Run) -> None:
    code, _, err = run("big")
    assert code == 1
    assert "hf download big" in err


def test_an_unknown_name_is_wrong_use_and_names_what_is_known(run: Run) -> None:
    code, _, err = run("nothing_such")
    assert code == 2
    assert "heavy" in err
