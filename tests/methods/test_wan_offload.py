"""Memory: presets, streamed blocks, guidance in two halves, and what is on record when it runs out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from motionbench.methods.backbones.catalog import wan_1_3b
from motionbench.methods.backbones.execution import PRESETS, Execution, execution_for
from motionbench.methods.backbones.recompute import recomputed
from motionbench.methods.backbones.streaming import RESERVE_BYTES, blocks_to_stream, is_streamed, place
from motionbench.methods.backbones.wan_models import WAN_1_3B, WAN_14B
from motionbench.methods.backbones.wan_weights import FOLDER_VARIABLE
from motionbench.methods.followyourmotion.decoupled_lora import decoupled_loras
from small_wan import moving_clip, small_backbone, small_folder
from test_wan_training import FAST, TEMPORAL, backbone_for

from motionbench import registry, worker
from motionbench.attempt import Failure, out_of_memory
from motionbench.config import build_config
from motionbench.gpu_memory import choose_preset, next_preset
from motionbench.job import resolve_dtype
from motionbench.method import Runtime
from motionbench.record import Reason
from motionbench.runner import RunPlan, run
from motionbench.store import ResultStore

GIB = 2**30


@pytest.mark.parametrize(
    ("gib", "preset"), [(139, "80"), (79.1, "80"), (47.5, "40"), (60, "60"), (39.4, "40"), (23.6, "24"), (8, "24")]
)
def test_a_card_takes_the_largest_preset_that_it_holds(gib: float, preset: str) -> None:
    assert choose_preset(int(gib * GIB)) == preset


def test_after_running_out_the_next_smaller_preset_that_fits_is_named() -> None:
    card = int(79.1 * GIB)
    assert [next_preset(used, card) for used in ("none", "auto", "80", "60", "40", "24")] == [
        "80",
        "60",
        "60",
        "40",
        "24",
        None,
    ]
    assert next_preset("80", int(23.6 * GIB)) == "24"
    assert next_preset("auto", None) is None


def test_the_number_type_of_a_backbone_is_its_own_unless_another_is_asked_for() -> None:
    assert resolve_dtype("auto", "tiny") == resolve_dtype("auto", None) == "float32"
    assert resolve_dtype("auto", "wan2.1-14b") == "bfloat16"
    assert resolve_dtype("float32", "wan2.1-14b") == "float32"


def full_size(model):
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        return WanTransformer3DModel(**model.transformer_config()).to(torch.bfloat16)


def test_only_what_does_not_fit_stays_in_host_memory() -> None:
    large, limit = full_size(WAN_14B), {name: PRESETS[name].limit_bytes for name in ("80", "40", "24")}
    streamed = {name: blocks_to_stream(large, limit[name]) for name in limit}
    assert streamed["80"] == 0
    assert 0 < streamed["40"] < 8
    assert 20 < streamed["24"] < 40
    block = sum(p.numel() * 2 for p in large.blocks[0].parameters())
    held = sum(p.numel() * 2 for p in large.parameters()) - streamed["24"] * block
    assert held <= limit["24"] - RESERVE_BYTES < held + block
    assert blocks_to_stream(full_size(WAN_1_3B), limit["24"]) == 0


def gradients(backbone, streamed: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Output and LoRA gradients of one step with so many blocks in host memory."""
    transformer = place(backbone.transformer, torch.device("cpu"), streamed)
    x, t = torch.randn(1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0])
    text = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(1))
    with decoupled_loras(transformer, TEMPORAL) as loras, recomputed(transformer, 2):
        parameters = loras.add_lora("temporal", rank=2, scale=1.0, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            for parameter in parameters:
                parameter += 0.05
        out = transformer(x, t, text, return_dict=False)[0]
        out.square().mean().backward()
        with torch.no_grad():
            again = transformer(x, t, text, return_dict=False)[0]
    assert torch.equal(again, out) or torch.allclose(again, out, atol=1e-6)
    return out.detach(), [parameter.grad for parameter in parameters]


def test_streamed_blocks_give_the_same_output_and_gradients(tmp_path: Path) -> None:
    plain, streamed = small_backbone(tmp_path), small_backbone(tmp_path)
    expected, wanted = gradients(plain, 0)
    found, got = gradients(streamed, 2)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    for one, two in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-4)
    assert [is_streamed(block) for block in streamed.transformer.blocks] == [True, True, False]


def test_a_streamed_block_is_on_the_device_for_its_turn_only(tmp_path: Path) -> None:
    transformer = place(small_backbone(tmp_path).transformer, torch.device("cpu"), 1)
    block = transformer.blocks[0]
    host = [data.data_ptr() for data in block.visit.host]
    there = []
    block.ffn.register_forward_hook(lambda *_: there.append([p.data_ptr() for p in block.visit.weights]))
    with torch.no_grad():
        transformer(torch.randn(1, 16, 3, 8, 8), torch.tensor([1.0]), torch.randn(1, 7, 32))
    assert [p.data_ptr() for p in block.visit.weights] == host
    assert set(there[0]).isdisjoint(host)


def test_guidance_in_two_halves_is_guidance_in_one_batch(tmp_path: Path) -> None:
    joint, split = (backbone_for(Execution(compiler=None, joint_guidance=flag), tmp_path) for flag in (True, False))
    text = joint.encode_text(["a ball"])
    one, two = (backbone.sample(text, seed=1, steps=3) for backbone in (joint, split))
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)


def test_compiled_blocks_sample_the_same_and_leave_no_trace(tmp_path: Path) -> None:
    plain, compiled = (backbone_for(replace(FAST, compiler=kind), tmp_path) for kind in (None, "eager"))
    text = plain.encode_text(["a ball"])
    one, two = (backbone.sample(text, seed=1, steps=2) for backbone in (plain, compiled))
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)
    assert not any("forward" in vars(block) for block in compiled.transformer.blocks)


def test_blocks_compile_as_a_whole(tmp_path: Path) -> None:
    from torch._dynamo.utils import counters

    backbone = backbone_for(FAST, tmp_path)
    torch._dynamo.reset()
    counters.clear()
    x, t = torch.randn(1, *backbone.latent_shape()), torch.tensor([0.5])
    text = backbone.encode_text(["a ball"])
    with decoupled_loras(backbone.transformer, TEMPORAL) as loras:
        loras.add_lora("temporal", rank=2, scale=1.0, generator=torch.Generator().manual_seed(2))
        with backbone.training(text, tuple(x.shape), save_memory=False):
            backbone.velocity(x, t, text).mean().backward()
    assert not counters["graph_break"], counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1  # one for all three layers, whatever their heads


def test_a_cpu_has_nothing_to_offload_or_to_compile() -> None:
    assert execution_for("24", torch.device("cpu")) == Execution(compiler=None)


def test_the_note_of_a_failure_names_peak_and_preset() -> None:
    failure = Failure(Reason.OOM, "OutOfMemoryError: CUDA out of memory")
    told = out_of_memory(failure, 71_300_000_000, "auto", int(79.1 * GIB))
    assert told.text == "OutOfMemoryError: CUDA out of memory; peak 71.3 GB; --gpu-memory 60 needs less"
    assert told.peak_bytes == 71_300_000_000
    assert "smaller backbone" in out_of_memory(failure, 1, "24", int(23 * GIB)).text


def test_running_out_of_memory_is_on_record_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(small_folder().parent))
    monkeypatch.setattr(worker, "device_memory", lambda device: int(79.1 * GIB))
    method = registry.load("methods", "followyourmotion")
    settings = ["spatial_steps=1", "temporal_steps=1", "sparse_frames=9", "rank=2", "head_times=0.5", "sample_steps=1"]
    config = build_config(method, backbone=WAN_1_3B.name, settings=settings)
    own, calls = method.fit, []

    def fit(self, *arguments, **options):
        calls.append(self.runtime.gpu_memory)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return own(self, *arguments, **options)

    monkeypatch.setattr(method, "fit", fit)
    plan = RunPlan("followyourmotion", config, WAN_1_3B.name, device="cpu", dtype="auto", gpu_memory="80", limit=1)
    plan = replace(plan, categories=("camera", "single_object"), levels=("scene",))
    store = ResultStore(tmp_path / "out")
    records = run(plan, store).records
    assert calls == ["80", "80"]
    failed, done = sorted(records, key=lambda record: record.status != "failed")
    assert (failed.status, failed.reason, done.status) == ("failed", "oom", "ok")
    assert failed.error.startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB")
    assert failed.error.endswith("; --gpu-memory 60 needs less")
    assert failed.peak_memory_bytes > 10**8
    assert (store.folder / done.video).exists()


def test_the_preset_reaches_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(small_folder().parent))
    seen = []
    monkeypatch.setattr(
        "motionbench.methods.backbones.wan_backbone.execution_for", lambda name, _: seen.append(name) or FAST
    )
    wan_1_3b.create(Runtime(WAN_1_3B.name, gpu_memory="24"))
    assert seen == ["24"]
    assert moving_clip().frames.shape == (17, 64, 64, 3)
