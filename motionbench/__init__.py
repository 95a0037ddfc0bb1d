"""Benchmark and evaluation suite for video motion transfer.

`import motionbench as mb` loads nothing heavy; what is below is imported when it is first asked for.

    results = mb.evaluate("followyourmotion", split="mini")   # generate, score, summarize; goes on where it was
    results.frame()                                           # pandas: the published rows; "scores", "records"
    mb.compare(results, "results/other").frame()              # paired differences with intervals
    mb.compare_clips("out.mp4", "my.mp4", ["motion_fidelity"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motionbench.clip import Clip as Clip
    from motionbench.clip_comparison import compare_clips as compare_clips
    from motionbench.evaluation import evaluate as evaluate
    from motionbench.evaluation import generate as generate
    from motionbench.evaluation import score as score
    from motionbench.plan import RunPlan as RunPlan
    from motionbench.results import Results as Results
    from motionbench.results import open_results as open_results
    from motionbench.run_comparison import compare as compare
    from motionbench.single_transfer import transfer as transfer
    from motionbench.split import read_split as read_split

__version__ = "0.1.0"

# Public name -> the module of the core that it is in.
_HOMES = {
    "Clip": "clip",
    "Results": "results",
    "RunPlan": "plan",
    "compare": "run_comparison",
    "compare_clips": "clip_comparison",
    "evaluate": "evaluation",
    "generate": "evaluation",
    "open_results": "results",
    "read_split": "split",
    "score": "evaluation",
    "transfer": "single_transfer",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*globals(), *_HOMES])
