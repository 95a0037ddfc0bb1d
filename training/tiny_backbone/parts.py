"""The parts of `tiny` before training: sizes, tokenizer, random weights. Same classes as Wan2.1, small."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from motionbench.methods.backbones.backbone_spec import BackboneSpec

SPEC = BackboneSpec(frames=17, height=64, width=64, fps=8.0, text_tokens=32, shift=3.0, guidance=4.0, steps=20)
TEXT_WIDTH = 96
LATENT_CHANNELS = 8


def tokenizer(vocabulary: Sequence[str]) -> Any:
    """A lower-casing word-level tokenizer of a closed vocabulary: <pad> 0, </s> 1, <unk> 2, then the sorted words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *sorted(vocabulary)])}
    model = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    model.normalizer = normalizers.Lowercase()
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("removed")]
    )
    model.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=10_000
    )


def vae() -> Any:
    """An AutoencoderKLWan of 1.8M parameters: 4x in space, none in time."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=16,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[False, False],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
        scale_factor_temporal=1,
        scale_factor_spatial=4,
    )


def text_encoder(vocabulary_size: int) -> Any:
    """A UMT5EncoderModel of two layers."""
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary_size,
            d_model=TEXT_WIDTH,
            d_kv=24,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            relative_attention_num_buckets=16,
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def transformer() -> Any:
    """A WanTransformer3DModel of 4.5M parameters: 8 blocks, 6 heads of 32 channels."""
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=6,
        attention_head_dim=32,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=256,
        ffn_dim=576,
        num_layers=8,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )


def save_random_tiny(folder: Path, vocabulary: Sequence[str], *, seed: int = 0) -> Path:
    """Write an untrained `tiny` (same classes and sizes, seeded random weights) as a diffusers folder; returns it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        words = tokenizer(vocabulary)
        parts = {
            "transformer": transformer(),
            "vae": vae(),
            "text_encoder": text_encoder(len(words)),
            "tokenizer": words,
        }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    (folder / "motionbench.json").write_text(json.dumps(asdict(SPEC), indent=1))
    return folder
