"""What the registry says of an entry point that is not what its group asks for."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from motionbench import registry
from motionbench.backbone import BackboneEntry, make_backbone
from motionbench.errors import PluginError
from motionbench.method import InputContract, Runtime
from motionbench.metric import MetricInfo
from motionbench.plugin_check import MEMBERS, check_plugin


@dataclass(frozen=True)
class Settings:
    steps: int = 1


class Good:
    name = "good"
    contract = InputContract(trains=False, start_latent="none", sees_reference=False)
    Config = Settings
    presets: dict[str, Any] = {}
    create = fit = generate = load_adapter = lambda self: None


def altered(**members: Any) -> type:
    return type("Mine", (Good,), members)


def without(member: str) -> type:
    return type("Mine", (), {name: value for name, value in vars(Good).items() if name != member and name[0] != "_"})


def test_what_follows_the_protocol_passes() -> None:
    check_plugin("methods", "good", "pkg:Good", Good)
    check_plugin("commands", "anything", "pkg:run", object())


@pytest.mark.parametrize("member", MEMBERS["methods"])
def test_each_missing_member_is_named_with_the_place_and_the_protocol(member: str) -> None:
    with pytest.raises(PluginError, match=rf"method 'mine' \(pkg:Mine\).*motionbench\.method\.Method.*'{member}'"):
        check_plugin("methods", "mine", "pkg:Mine", without(member))


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (altered(contract={"trains": True}), "'contract' is .* no InputContract"),
        (altered(Config=dict), "Config .*dict.* is no dataclass"),
        (altered(fit=3), "'fit' cannot be called"),
        (Good.__new__(Good), "a Good, which is no class"),
        (lambda runtime: None, "which is no class"),
    ],
)
def test_a_wrong_member_is_named_with_what_came(plugin: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        check_plugin("methods", "mine", "pkg:Mine", plugin)


def test_a_function_is_no_backbone_any_more() -> None:
    with pytest.raises(PluginError, match=r"backbone 'mine'.*BackboneEntry describes, got the function mine"):
        check_plugin("backbones", "mine", "pkg:mine", mine)


def mine(runtime: Runtime) -> object:
    return SimpleNamespace(name="mine", device="cpu")


def test_loading_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="mine", value="pkg:mine", load=lambda: mine)
    monkeypatch.setattr(registry, "_points", lambda group: {"mine": point})
    with pytest.raises(PluginError, match="BackboneEntry"):
        registry.load("backbones", "mine")


def test_a_made_backbone_that_lacks_a_verb_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda group, name: BackboneEntry("", mine, lambda: "1"))
    with pytest.raises(PluginError, match=r"backbone 'mine'.*has no dtype, frames.*decode.*from_folder"):
        make_backbone(Runtime(backbone="mine"))


def test_the_line_of_a_backbone_is_read_without_importing_it() -> None:
    assert registry.summary("backbones", "wan2.1-14b").startswith("Wan2.1 T2V 14B, 81 frames")
    assert registry.load("backbones", "wan2.1-14b").help == registry.summary("backbones", "wan2.1-14b")


def test_our_entries_say_what_can_be_asked_before_they_are_made() -> None:
    tiny, wan = (registry.load("backbones", name) for name in ("tiny", "wan2.1-1.3b"))
    assert (tiny.dtype, tiny.small, tiny.check, tiny.prefetch) == ("float32", True, None, None)
    assert (wan.dtype, wan.small) == ("bfloat16", False)
    assert all(callable(verb) for verb in (wan.check, wan.prefetch, wan.make_random, wan.revision))
    assert len(tiny.revision()) == 16


def test_whatever_importing_a_plugin_raises_names_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="mine", value="pkg:mine", load=lambda: MetricInfo(name="mine"))  # type: ignore[call-arg]
    monkeypatch.setattr(registry, "_points", lambda group: {"mine": point})
    with pytest.raises(PluginError, match=r"metric 'mine' \(pkg:mine\) cannot be loaded: TypeError: .*missing"):
        registry.load("metrics", "mine")
