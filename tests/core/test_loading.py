"""Python's collector rests while libraries are loaded, and is as it was afterwards."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from motionbench import registry
from motionbench.loading import loading


@pytest.fixture(autouse=True)
def collecting() -> None:
    assert gc.isenabled()


def test_the_collector_rests_inside_and_works_again_whatever_happens() -> None:
    with loading():
        with loading():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_who_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_plugins_modules_are_loaded_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    (tmp_path / "collected.py").write_text("import gc\nstate = {'enabled': gc.isenabled()}\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("probe", "collected:state", "motionbench.pages")
    monkeypatch.setattr(registry, "_points", lambda group: {"probe": point})
    assert registry.load("pages", "probe") == {"enabled": False}
    assert gc.isenabled()
    del sys.modules["collected"]
