"""The Wan benchmark: counted operations, a smoke run of all parts, resuming, and the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from wan_flops import Shape, forward_flops, training_flops  # noqa: E402
from wan_page import exponent, read_lines, write_page  # noqa: E402

WAN = {"layers": 30, "width": 1536, "ffn_width": 8960, "text": 512}


def test_counted_operations_are_those_that_torch_counts() -> None:
    import torch
    from motionbench.methods.backbones.random_weights import random_part
    from motionbench.methods.backbones.wan_models import WAN_1_3B
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = random_part(WAN_1_3B, "transformer", scale="small", dtype=torch.float32, device="cpu")
    x, text = torch.randn(2, 16, 3, 8, 8), torch.randn(2, 16, 32)
    # Its counter knows attention as two products, not as the fused kernel of a CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        model(x, torch.tensor([1.0, 2.0]), text)
    by_block = sum(sum(counted.flop_counts[f"WanTransformer3DModel.blocks.{i}"].values()) for i in range(3))
    shape = Shape(layers=3, width=96, ffn_width=192, tokens=48, text=16, batch=2)
    assert forward_flops(shape) == by_block


def test_operations_of_full_steps_are_near_what_a_plain_implementation_reported() -> None:
    sparse = Shape(**WAN, tokens=7800, rank=128)
    dense = Shape(**WAN, tokens=32_760, rank=128)
    frames = Shape(**WAN, tokens=1560, rank=128, batch=8)
    # seconds x useful TFLOP/s of one H100, of a LoRA without the output projection
    for shape, reported in ((sparse, 0.242 * 345), (dense, 2.57 * 342), (frames, 0.291 * 287)):
        assert training_flops(shape) / 1e12 == pytest.approx(reported, rel=0.05)


def test_the_exponent_of_a_power_law_is_its_power() -> None:
    assert exponent([(n, 3 * n**1.7) for n in (17, 33, 81, 161)]) == pytest.approx(1.7)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/wan.py", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=1200,
        check=False,
    )


def test_a_part_is_measured_in_lines_with_their_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wan

    bench = wan.Bench(tmp_path, "cpu", smoke=True)
    wan.heads(bench)
    bench.deadline = 0  # no time is left, so the steps are not begun
    wan.scaling(bench)
    (line,) = read_lines(tmp_path / "wan.jsonl").values()
    assert (line["part"], line["layers"], line["tokens"], line["maps"]) == ("heads", 3, 80, 3)
    assert line["seconds"] > 0
    monkeypatch.setattr(wan, "score_heads", None)  # would fail if it were measured again
    wan.heads(wan.Bench(tmp_path, "cpu", smoke=True))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_smoke_run_measures_every_part_and_goes_on_where_it_was(tmp_path: Path) -> None:
    from wan import SECONDS

    done = command("measure", "--smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = read_lines(tmp_path / "wan.jsonl")
    assert {part for part, _ in lines} == {
        "machine",
        "rounding",
        *SECONDS,
    }  # what float8 does to numbers is of part float8
    assert all(line["smoke"] for line in lines.values())
    assert all(
        line["seconds"] > 0 for (part, _), line in lines.items() if part in ("steps", "large", "heads", "scaling")
    )
    count = len((tmp_path / "wan.jsonl").read_text().splitlines())
    assert command("measure", "--smoke", "--out", str(tmp_path)).returncode == 0
    assert len((tmp_path / "wan.jsonl").read_text().splitlines()) == count + 1  # the machine again, nothing else
    page = tmp_path / "speed.md"
    written = write_page(tmp_path / "wan.jsonl", page)
    assert [path.name for path in written] == ["speed.md", "speed-share.svg", "speed-frames.svg"]
    text = page.read_text()
    assert "is no result" in text
    for title in (
        "Training steps, 1.3B",
        "schedule on 1.3B",
        "Head classification",
        "14B",
        "float8",
        "number of frames",
    ):
        assert title in text
    assert "exponent" in text


def test_the_page_says_only_what_was_measured(tmp_path: Path) -> None:
    machine = {"part": "machine", "name": "machine", "smoke": False, "device": "GPU", "python": "3.12", "versions": {}}
    step = {"part": "steps", "smoke": False, "batch": 1, "tokens": 7800, "tokens_per_second": 1.0, "peak_bytes": 18e9}
    step |= {"useful_tflops": 480.0, "blocks_recomputed": 0, "first_seconds": 30.0, "frames": 17, "useful_flops": 1.0}
    step |= {"matmul_tflops": 800.0}
    lines = [
        machine | {"matmul_size": 8192, "matmul_tflops": 800.0},
        step | {"name": "temporal, optimized", "seconds": 0.17},
        step | {"name": "spatial, batch 1, optimized", "seconds": 0.033, "useful_tflops": 300.0},
        # Of a call on a machine that is half as fast: what it would have taken here is what counts.
        step | {"name": "dense two-stage, clip, quick attention", "seconds": 5.0, "matmul_tflops": 400.0},
        step | {"name": "dense two-stage, frame, quick attention", "seconds": 0.4, "matmul_tflops": 400.0},
        step | {"part": "later", "name": "temporal, optimized", "seconds": 0.17, "first_seconds": 8.0},
        step | {"part": "later", "name": "spatial, batch 1, optimized", "seconds": 0.033, "first_seconds": 8.0},
        {"part": "baselines", "name": "vmc, plain", "fit_seconds": 1500.0, "clip_seconds": 100.0},
        {"part": "baselines", "name": "vmc, optimized", "fit_seconds": 700.0, "clip_seconds": 60.0},
        {"part": "baselines", "name": "smm, optimized", "error": "OutOfMemoryError: 3 GB"},
    ]
    (tmp_path / "wan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_page(tmp_path / "wan.jsonl", tmp_path / "speed.md")
    text = (tmp_path / "speed.md").read_text()
    assert "no result" not in text
    assert "Head classification" not in text
    assert "510" not in text  # the whole job needs pieces that are not there
    dense = "tuning at batch 1 at least 16 times as fast as dense two-stage LoRA with as quick attention"
    assert f"| {dense} | 12.8 times | **no** |" in text
    assert "| temporal stage at least 64% of the matrix rate | 60.0% | **no** |" in text
    assert text.count("480 (120%)") == 2  # shares are of a step's own call
    assert "takes 44.0 s less." in text
    assert "| vmc | 1500 | 100 | 700 | 60 | 2.11 |" in text
    assert "| smm | not measured |  | OutOfMemoryError: 3 GB |  |  |" in text
    (tmp_path / "wan.jsonl").write_text(json.dumps(lines[1]) + "\n")
    with pytest.raises(ValueError, match="no line of the machine"):
        write_page(tmp_path / "wan.jsonl", tmp_path / "speed.md")


def test_a_later_job_saves_what_sampling_compiled_too() -> None:
    """The first clip of one step decodes as well, which is no compiling."""
    from wan_checks import compiling_sampling, saved_later

    cold = {"one_step_seconds": 12.3, "one_step_again_seconds": 3.9}
    kept = {"one_step_seconds": 5.9, "one_step_again_seconds": 3.8}
    assert compiling_sampling(cold) == pytest.approx(8.4)
    lines = {}
    for part, first in (("steps", 20.0), ("later", 4.0)):
        for name in ("spatial, batch 1, optimized", "temporal, optimized"):
            lines[part, name] = {"first_seconds": first, "seconds": 0.1}
    assert saved_later(lines) == pytest.approx(32)
    lines |= {("job", "short schedule"): cold, ("later", "sampling"): kept}
    assert saved_later(lines) == pytest.approx(32 + 8.4 - 2.1)


def test_what_is_left_out_is_left_out_inside_the_block_only(monkeypatch) -> None:
    import os

    import torch
    from motionbench.methods.backbones import fused, inductor
    from wan_without import LEFT_OUT, left_out

    monkeypatch.setenv("MOTIONBENCH_CACHE", "/some/where")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/its/own")

    def state():
        import torch._inductor.config as config

        table = inductor.with_quick_gelu({})
        return fused.work_on, inductor.ROW, len(table), config.max_autotune_pointwise

    before, seen = state(), []
    for name in LEFT_OUT:
        with left_out(name):
            seen.append(state())
            assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == f"/some/where/without/{name.replace(' ', '-')}"
        assert state() == before
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/its/own"
    assert all(sum(a != b for a, b in zip(one, before, strict=True)) == 1 for one in seen)  # each changes one thing
    assert not torch.cuda.is_available() or fused.work_on(torch.device("cuda"), 12, 128)
