"""Streaming head classification: the naive numbers, in bounded memory."""

from __future__ import annotations

import logging
import sys
import types
import weakref

import numpy as np
import pytest
import torch
from interpreted import interpreted
from motionbench.methods.followyourmotion import heads
from motionbench.methods.followyourmotion.head_stream import chunk_rows, stream_bytes, stream_sums
from motionbench.methods.followyourmotion.heads import map_similarities, pseudo_maps
from motionbench.methods.taps.token_grid import TokenGrid
from test_fym_model import naive_similarities
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from motionbench.fallbacks import forget_fallbacks


class AllocatedBytes(TorchDispatchMode):
    """Adds up the storages that operations make inside the block, and forgets them when they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((arguments, keywords)) if tensor(leaf)}
        out = function(*arguments, **(keywords or {}))
        for leaf in tree_leaves(out):
            if tensor(leaf) and leaf.untyped_storage().data_ptr() not in given | self.known:
                self.add(leaf.untyped_storage())
        return out

    def add(self, storage) -> None:
        size, place = storage.nbytes(), storage.data_ptr()
        self.known.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.drop, place, size)

    def drop(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


def tensor(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor)


def projections(heads: int, tokens: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    q, k = torch.randn(2, heads, tokens, width, generator=torch.Generator().manual_seed(seed)) * 2
    return q, k


@pytest.mark.parametrize(("frames", "cells"), [(2, 3), (3, 8), (4, 6), (2, 200), (3, 129)])
@pytest.mark.parametrize("chunk", [1, 5000, 1 << 26])
def test_streamed_similarities_equal_the_dense_definition(frames: int, cells: int, chunk: int) -> None:
    q, k = projections(2, frames * cells, 8)
    expected = naive_similarities(q.double().numpy(), k.double().numpy(), frames)
    found = map_similarities(q, k, frames, whole=0, chunk=chunk).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_streaming_equals_whole_maps_in_float64() -> None:
    q, k = projections(4, 5 * 390, 24)
    grid = TokenGrid(5, 1, 390)
    maps = (q.double() @ k.double().transpose(1, 2) / 24**0.5).softmax(-1)
    masks = torch.stack(pseudo_maps(torch.arange(grid.tokens), 5, 390)).double()
    expected = torch.cat([torch.einsum("kij,mij->mk", maps, masks), maps.square().sum((1, 2))[None]])
    torch.testing.assert_close(stream_sums(q, k, grid, 1 << 20), expected, rtol=1e-6, atol=0)


def test_bfloat16_inputs_are_summed_in_float32() -> None:
    q, k = (x.bfloat16() for x in projections(2, 4 * 60, 16))
    expected = naive_similarities(q.double().numpy(), k.double().numpy(), 4)
    np.testing.assert_allclose(map_similarities(q, k, 4, whole=0, chunk=10_000).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("heads", "frames", "cells", "chunk"), [(4, 5, 390, 1 << 16), (4, 5, 390, 1 << 20), (2, 9, 150, 1 << 14)]
)
def test_peak_memory_stays_below_the_formula_and_far_below_the_maps(heads, frames, cells, chunk) -> None:
    grid, width = TokenGrid(frames, 1, cells), 16
    q, k = projections(heads, grid.tokens, width)
    with torch.no_grad(), AllocatedBytes() as seen:
        stream_sums(q, k, grid, chunk)
    bound = stream_bytes(heads, grid, width, chunk)
    assert 0.1 * bound < seen.peak <= bound
    assert seen.peak < heads * grid.tokens**2 * 4 / 2


def test_at_full_size_the_bound_is_below_four_gigabytes() -> None:
    full = TokenGrid(21, 30, 52)  # 81 frames of 480x832: 32,760 tokens
    for count in (12, 40):
        assert stream_bytes(count, full, 128) < 4e9
        assert chunk_rows(count, full, 1 << 26) > 32  # rows enough for a product that pays
    assert count * full.tokens**2 * 4 > 170e9  # of one layer of 14B, if the maps were held


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu_in_both_number_types() -> None:
    q, k = projections(4, 5 * 390, 64)
    for x in ((q, k), (q.bfloat16(), k.bfloat16())):
        expected = map_similarities(*x, 5, whole=0, chunk=1 << 20).numpy()
        found = map_similarities(*(y.cuda() for y in x), 5, whole=0, chunk=1 << 20).cpu().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(("frames", "cells", "width"), [(5, 390, 64), (3, 1560, 128), (9, 150, 24), (2, 77, 16)])
def test_the_kernel_on_a_gpu_gives_the_plain_sums(frames: int, cells: int, width: int) -> None:
    from motionbench.methods.followyourmotion.head_kernel import kernel_sums

    q, k = projections(3, frames * cells, width)
    grid = TokenGrid(frames, 1, cells)
    for kind in (torch.float32, torch.bfloat16):
        x, y = q.to(kind), k.to(kind)
        expected = stream_sums(x.double(), y.double(), grid)
        # As `map_similarities` hands them over: heads are not the outer axis in memory.
        x, y = (z.transpose(0, 1).contiguous().transpose(0, 1).cuda() for z in (x, y))
        torch.testing.assert_close(kernel_sums(x, y, grid).cpu(), expected, rtol=1e-5, atol=1e-6)


INTERPRETED = """
import torch
from motionbench.methods.followyourmotion.head_kernel import kernel_sums
from motionbench.methods.followyourmotion.head_stream import stream_sums
from motionbench.methods.taps.token_grid import TokenGrid

for frames, cells, width in ((4, 100, 24), (3, 200, 16), (2, 129, 16), (3, 8, 8)):
    q, k = torch.randn(2, 2, frames * cells, width, generator=torch.Generator().manual_seed(0)) * 2
    grid = TokenGrid(frames, 1, cells)
    found, expected = kernel_sums(q, k, grid), stream_sums(q.double(), k.double(), grid)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.slow
def test_the_kernel_as_triton_interprets_it_on_a_cpu_gives_the_plain_sums() -> None:
    done = interpreted(INTERPRETED)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_kernel_that_cannot_be_compiled_is_told_once_and_maps_come_in_chunks(monkeypatch, caplog) -> None:
    forget_fallbacks()
    q, k = projections(2, 4 * 60, 8)
    expected = heads._large_sums(q, k, TokenGrid(4, 1, 60), 10_000)

    class OnGpu:
        """A tensor that says it is on a GPU."""

        def __init__(self, tensor):
            self.tensor = tensor
            self.is_cuda = True

    broken = types.ModuleType("head_kernel")
    broken.KERNEL_ERRORS = (OSError,)

    def kernel_sums(*_):
        raise OSError("no C compiler")

    broken.kernel_sums = kernel_sums
    monkeypatch.setitem(sys.modules, "motionbench.methods.followyourmotion.head_kernel", broken)
    monkeypatch.setattr(heads, "stream_sums", lambda q, k, grid, chunk: stream_sums(q.tensor, k.tensor, grid, chunk))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert torch.equal(heads._large_sums(OnGpu(q), OnGpu(k), TokenGrid(4, 1, 60), 10_000), expected)
    assert [r.message for r in caplog.records] == [
        "classifying heads in one kernel does not work here; maps in chunks instead (OSError: no C compiler)"
    ]
    forget_fallbacks()
