"""Folders of random weights in the layout of a real backbone: for tests, and for timings that need no real weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .wan_models import TEXT_WIDTH, WanModel
from .wan_weights import RANDOM_MARK

if TYPE_CHECKING:
    import torch

Scale = Literal["full", "timing", "small"]
SCALES: tuple[Scale, ...] = ("full", "timing", "small")
_POOL = 1 << 22  # random numbers that are drawn; billions of weights are filled from them in turn


def save_random_wan(folder: Path, model: WanModel, *, scale: Scale = "full", seed: int = 0) -> Path:
    """Write a Wan model with seeded random weights as a diffusers folder that the backbone of its name loads.

    scale: `full` has the real shapes in all parts; `timing` has them in transformer and VAE, and a text encoder of two
    layers, since nothing that is timed depends on its depth; `small` has the real classes, three blocks and 17 frames
    of 64x64, for tests. Weights are bfloat16 (float32 for `small`), except the VAE's. Returns the folder.
    """
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = byte_tokenizer()
    shapes = _shapes(model, scale, len(tokenizer))
    dtype = torch.float32 if scale == "small" else torch.bfloat16
    makers: dict[str, tuple[Any, torch.dtype]] = {
        "transformer": (lambda: WanTransformer3DModel(**shapes["transformer"]), dtype),
        "vae": (lambda: AutoencoderKLWan(**shapes["vae"]), torch.float32),
        "text_encoder": (lambda: UMT5EncoderModel(UMT5Config(**shapes["text_encoder"])), dtype),
    }
    for name, (make, kind) in makers.items():
        with torch.device("meta"), _default_dtype(kind):
            part = make()
        fill_randomly(part.to_empty(device="cpu"), seed)
        part.save_pretrained(folder / name)
        del part
    tokenizer.save_pretrained(folder / "tokenizer")
    spec = model.spec
    if scale == "small":
        spec = replace(spec, frames=17, height=64, width=64, text_tokens=128, steps=3)
    (folder / "motionbench.json").write_text(json.dumps(asdict(spec), indent=1) + "\n")
    mark = {"model": model.name, "seed": seed, "scale": scale}
    (folder / RANDOM_MARK).write_text(json.dumps(mark) + "\n")  # last: without it the folder is of an unknown model
    return folder


def random_part(model: WanModel, part: str, *, scale: Scale, dtype: torch.dtype, device: str, seed: int = 0) -> Any:
    """A randomly initialized `transformer` or `vae`, made on its device without a folder; what must be float32 is."""
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    shapes = _shapes(model, scale, vocabulary=0)
    index = [torch.device(device).index or 0] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=index), torch.device(device), _default_dtype(dtype):
        torch.manual_seed(seed)
        made: Any = (
            AutoencoderKLWan(**shapes["vae"]) if part == "vae" else WanTransformer3DModel(**shapes["transformer"])
        )
    kept = made._keep_in_fp32_modules or []
    for name, parameter in made.named_parameters():
        if any(part in name.split(".") for part in kept):
            parameter.data = parameter.data.float()
    return made.eval().requires_grad_(False)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    import torch

    former = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(former)


def fill_randomly(part: Any, seed: int) -> None:
    """Give every parameter random values of a sane size: matrices as is usual, biases small, gains around one.

    All are cut out of one pool of Gaussian numbers, each from its own offset, so that billions take seconds.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    pool = torch.randn(_POOL, generator=generator)
    if hasattr(part, "tie_weights"):
        part.tie_weights()
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            offset = int(torch.randint(_POOL, (1,), generator=generator))
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            is_gain = parameter.ndim == 1 and not name.endswith("bias")
            scale = 0.1 if parameter.ndim == 1 or "gamma" in name else fan_in**-0.5
            values = pool.roll(-offset)[: parameter.numel()] * scale
            flat = parameter.view(-1)
            for start in range(0, flat.numel(), _POOL):
                cut = flat[start : start + _POOL]
                cut.copy_(values[: cut.numel()])
            if is_gain or "gamma" in name:
                parameter += 1


def byte_tokenizer() -> Any:
    """A tokenizer of any text into bytes: <pad> 0, </s> 1, <unk> 2, then the 256 bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *letters])}
    made = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=10_000
    )


def _shapes(model: WanModel, scale: Scale, vocabulary: int) -> dict[str, dict[str, Any]]:
    """Constructor arguments of the three models at a scale."""
    text: dict[str, Any] = {
        "d_model": TEXT_WIDTH,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "vocab_size": 256384,
    }
    text |= {"pad_token_id": 0, "eos_token_id": 1, "dropout_rate": 0.0}
    shapes = {"transformer": model.transformer_config(), "vae": {}, "text_encoder": text}
    if scale == "timing":
        text |= {"num_layers": 2, "vocab_size": vocabulary}
    if scale == "small":
        text |= {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "vocab_size": vocabulary}
        small = {"num_attention_heads": 4, "attention_head_dim": 24, "text_dim": 32, "freq_dim": 32, "ffn_dim": 192}
        shapes["transformer"] = model.transformer_config() | small | {"num_layers": 3}
        shapes["vae"] = {"base_dim": 8, "num_res_blocks": 1}
    return shapes
