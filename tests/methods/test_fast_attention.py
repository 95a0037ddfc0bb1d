"""Which attention kernels are chosen, what happens where they do not work, and what they compute on a GPU."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from motionbench.methods.backbones import compiling, fast_attention
from motionbench.methods.backbones.compiling import compiled_blocks, guarded
from motionbench.methods.backbones.execution import execution_for
from motionbench.methods.backbones.fast_attention import attention_error, attention_kernels, use_kernels

from motionbench.fallbacks import execution, fallbacks, forget_fallbacks
from motionbench.store import ResultStore

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def chosen_anew() -> Iterator[None]:
    forget_fallbacks()
    attention_kernels.cache_clear()
    yield
    forget_fallbacks()
    attention_kernels.cache_clear()


def card(monkeypatch: pytest.MonkeyPatch, major: int, *, fourth: bool, errors: dict[str, float | Exception]) -> None:
    """A GPU of that capability, on which each kind of kernels errs as said."""

    def error(kernels, device, *, deterministic):
        found = errors.get(kernels, 0.002)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 0))
    monkeypatch.setattr(fast_attention, "find_spec", lambda name: SimpleNamespace() if fourth else None)
    monkeypatch.setattr(fast_attention, "attention_error", error)


@pytest.mark.parametrize(
    ("major", "fourth", "deterministic", "expected"),
    [
        (9, True, False, "flash-attention-4"),
        (9, True, True, "flash-attention-4"),
        (9, False, False, "cudnn"),
        (9, False, True, "flash"),
        (8, False, False, "flash"),
    ],
)
def test_the_quickest_kernels_that_there_are_are_chosen(monkeypatch, major, fourth, deterministic, expected) -> None:
    card(monkeypatch, major, fourth=fourth, errors={})
    assert attention_kernels(GPU, deterministic) == expected
    assert not fallbacks()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (RuntimeError("CUDA driver version is insufficient"), "RuntimeError: CUDA driver version is insufficient"),
        (ImportError("no nvidia_cutlass_dsl"), "ImportError: no nvidia_cutlass_dsl"),
        (0.3, "its relative error is 0.3"),
        (float("nan"), "its relative error is nan"),
    ],
)
def test_kernels_that_fail_are_told_once_and_the_next_best_ones_taken(monkeypatch, caplog, fault, told) -> None:
    card(monkeypatch, 9, fourth=True, errors={"flash-attention-4": fault})
    with caplog.at_level(logging.WARNING):
        assert [attention_kernels(GPU) for _ in range(3)] == ["cudnn"] * 3
    assert [r.message for r in caplog.records] == [
        f"attention by flash-attention-4 does not work here; cudnn instead ({told})"
    ]


def test_a_gpu_without_bfloat16_and_a_cpu_keep_to_torchs_own_choice(monkeypatch, caplog) -> None:
    card(monkeypatch, 7, fourth=True, errors={})
    with caplog.at_level(logging.WARNING):
        assert attention_kernels(GPU) == "torch"
    assert len(caplog.records) == 1
    assert "has no bfloat16" in fallbacks()["quick attention in bfloat16"]
    assert attention_kernels(torch.device("cpu")) == "torch"


def test_where_nothing_works_torch_chooses(monkeypatch) -> None:
    broken = RuntimeError("no kernel image")
    card(monkeypatch, 9, fourth=True, errors=dict.fromkeys(("flash-attention-4", "cudnn", "flash"), broken))
    assert attention_kernels(GPU) == "torch"
    assert sorted(fallbacks()) == [f"attention by {k}" for k in ("cudnn", "flash", "flash-attention-4")]


def test_run_json_says_what_was_chosen_and_done_without(monkeypatch, tmp_path) -> None:
    store = ResultStore(tmp_path)
    store.begin({"method": "copy"}, {}, {"git": None})
    before = (tmp_path / "run.json").read_bytes()
    store.note_execution(execution())
    assert (tmp_path / "run.json").read_bytes() == before  # as on every CPU
    card(monkeypatch, 9, fourth=True, errors={"flash-attention-4": ImportError("gone")})
    with fast_attention.fast_attention(GPU, 128):
        store.note_execution(execution())
    assert store.read_run()["execution"] == {
        "chosen": {"attention": "cudnn"},
        "fallbacks": {"attention by flash-attention-4": "cudnn, since ImportError: gone"},
    }


def test_the_environment_asks_for_deterministic_kernels(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=85 * 10**9))
    assert not execution_for("auto", GPU).deterministic
    monkeypatch.setenv("MOTIONBENCH_DETERMINISTIC", "1")
    assert execution_for("auto", GPU).deterministic


def test_deterministic_algorithms_end_with_the_block() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with use_kernels("torch", rest=True, deterministic=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_a_compiler_that_fails_is_told_once_and_blocks_run_as_they_are(monkeypatch, caplog) -> None:
    def broken(graph, inputs, **options):
        raise OSError("no C compiler found")

    monkeypatch.setattr(
        "torch._dynamo.backends.registry.lookup_backend", lambda name: broken if name == "inductor" else name
    )
    compiled = torch.compile(lambda x: (x * 2).relu() + 1, backend=guarded("inductor"), dynamic=False)
    with caplog.at_level(logging.WARNING, logger="motionbench"):
        for size in (3, 4, 5):  # a graph each
            assert compiled(torch.ones(size)).tolist() == [3.0] * size
    assert [r.message for r in caplog.records] == [
        "compiling transformer blocks does not work here; uncompiled ones instead (OSError: no C compiler found)"
    ]


def test_a_torch_that_takes_none_of_our_choices_compiles_by_its_own(monkeypatch, caplog) -> None:
    def narrow(graph, inputs):
        return lambda *given: [2 * one for one in graph.forward(*given)]  # so that what was compiled can be told

    monkeypatch.setattr(
        "torch._dynamo.backends.registry.lookup_backend", lambda name: narrow if name == "inductor" else name
    )
    compiled = torch.compile(lambda x: x * 2 + 1, backend=guarded("inductor"))
    with caplog.at_level(logging.WARNING, logger="motionbench"):
        assert compiled(torch.ones(2)).tolist() == [6.0, 6.0]
    (told,) = [r.message for r in caplog.records if r.name.startswith("motionbench")]
    assert told.startswith("whole rows and a quick GELU in compiled blocks does not work here; inductor's own choices")


def test_what_is_compiled_is_kept_in_the_users_cache(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/some/where")
    compiling.keep_what_is_compiled()
    assert compiling.os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/some/where"  # the user's own choice
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    transformer = SimpleNamespace(blocks=[torch.nn.Linear(2, 2)])
    with compiled_blocks(transformer, "eager"):
        pass
    kept = Path(compiling.os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert kept == tmp_path / "compiled" / compiling.code_unseen_by_torch()


def test_another_version_of_our_operators_does_not_get_what_was_compiled_with_the_former_gradients(
    monkeypatch, tmp_path
) -> None:
    """Torch keeps backward passes by the names of operators: what it kept of other gradients would be taken as ours."""
    own = Path(compiling.__file__)
    for name in ("operators.py", "inductor.py"):
        (tmp_path / name).write_bytes(own.with_name(name).read_bytes())
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / own.name))
    unseen = compiling.code_unseen_by_torch.__wrapped__
    names = [compiling.code_unseen_by_torch(), unseen()]
    for name in ("operators.py", "inductor.py"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"# another formula\n")
        names.append(unseen())
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_blocks_are_compiled_once_however_often_they_are_used(monkeypatch) -> None:
    """A backend made anew each time had them traced again for every clip, and 64 times at most."""
    graphs = []

    def seen(graph, inputs, **options):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        "torch._dynamo.backends.registry.lookup_backend", lambda name: seen if name == "inductor" else name
    )
    transformer = SimpleNamespace(blocks=[torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])
    for _ in range(3):
        with compiled_blocks(transformer, "inductor"):
            for block in transformer.blocks:
                block(torch.ones(1, 3))
    assert len(graphs) == 1


def test_flash_attention_4_keeps_its_kernels_in_the_users_cache(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path))
    for name in ("ENABLED", "DIR"):
        monkeypatch.delenv(f"FLASH_ATTENTION_CUTE_DSL_CACHE_{name}", raising=False)
    fast_attention.keep_what_is_compiled()
    assert os.environ["FLASH_ATTENTION_CUTE_DSL_CACHE_DIR"] == str(tmp_path / "attention")
    assert os.environ["FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED"] == "1"
    monkeypatch.setenv("FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED", "0")  # the user's own choice
    fast_attention.keep_what_is_compiled()
    assert os.environ["FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED"] == "0"


def test_inductors_own_folder_is_not_taken_for_the_users_choice(tmp_path) -> None:
    """It is put into the environment when dynamo is loaded, as diffusers does long before anything is compiled."""
    code = (
        "import os, torch, torch._dynamo\n"
        "from types import SimpleNamespace\n"
        "from motionbench.methods.backbones.compiling import compiled_blocks\n"
        "with compiled_blocks(SimpleNamespace(blocks=[torch.nn.Linear(2, 2)]), 'eager'):\n"
        "    print(os.environ['TORCHINDUCTOR_CACHE_DIR'])\n"
    )
    own = {k: v for k, v in compiling.os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"}
    own["MOTIONBENCH_CACHE"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "compiled" / compiling.code_unseen_by_torch())


@pytest.mark.gpu
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("kernels", ["flash-attention-4", "cudnn", "flash"])
def test_kernels_agree_with_float64_forward_and_backward(kernels, deterministic) -> None:
    if kernels == "flash-attention-4" and fast_attention.find_spec("flash_attn") is None:
        pytest.skip("flash-attn-4 is not installed")
    if kernels == "cudnn" and (deterministic or torch.cuda.get_device_capability(GPU)[0] < 9):
        pytest.skip("cuDNN's gradients are not deterministic; before Hopper they are not chosen")
    assert 1e-4 < attention_error(kernels, GPU, deterministic=deterministic) < 5e-3


@pytest.mark.gpu
def test_deterministic_gradients_have_the_same_bits_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v, g = (torch.randn(1, 4, 3000, 128, generator=generator).bfloat16().cuda() for _ in range(4))
    found = []
    with fast_attention.fast_attention(GPU, 128, deterministic=True):
        for _ in range(5):
            inputs = [x.clone().requires_grad_(True) for x in (q, k, v)]
            found.append(torch.autograd.grad(F.scaled_dot_product_attention(*inputs), inputs, g))
    assert all(torch.equal(a, b) for again in found[1:] for a, b in zip(again, found[0], strict=True))
