"""What is fixed about the Wan2.1 text-to-video models: where their weights are, shapes, sampling defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .backbone_spec import BackboneSpec

# Of all Wan2.1 sizes: 16 latent channels, heads of 128 channels, UMT5-XXL embeddings of 4096.
HEAD_WIDTH = 128
TEXT_WIDTH = 4096
LATENT_CHANNELS = 16

# Frames, size, rate and shift that the models are used with at 480p; guidance 6 is what Wan's authors advise for 1.3B,
# 5 the default of their pipelines. The negative prompt is ours: the model's own is a paragraph of Chinese.
_NEGATIVE = "blurry, low quality, static, distorted, deformed, text, watermark"


def _spec(guidance: float) -> BackboneSpec:
    return BackboneSpec(
        frames=81,
        height=480,
        width=832,
        fps=16.0,
        text_tokens=512,
        shift=3.0,
        guidance=guidance,
        steps=50,
        negative_prompt=_NEGATIVE,
    )


@dataclass(frozen=True)
class WanModel:
    """One size of Wan2.1. repository, revision: on the Hub, pinned; download_bytes: of all parts there.

    layers, heads, ffn_width: of the transformer, by which weights of another model are told apart.
    """

    name: str
    repository: str
    revision: str
    download_bytes: int
    layers: int
    heads: int
    ffn_width: int
    spec: BackboneSpec

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.heads * HEAD_WIDTH

    def transformer_config(self) -> dict[str, Any]:
        """The arguments of diffusers' `WanTransformer3DModel`."""
        return {
            "patch_size": (1, 2, 2),
            "num_attention_heads": self.heads,
            "attention_head_dim": HEAD_WIDTH,
            "in_channels": LATENT_CHANNELS,
            "out_channels": LATENT_CHANNELS,
            "text_dim": TEXT_WIDTH,
            "freq_dim": 256,
            "ffn_dim": self.ffn_width,
            "num_layers": self.layers,
            "cross_attn_norm": True,
            "qk_norm": "rms_norm_across_heads",
        }

    def fetch_command(self) -> str:
        """The shell command that brings the right weights into the Hub's local cache, where they are found."""
        return f"hf download {self.repository} --revision {self.revision}"


WAN_1_3B = WanModel(
    name="wan2.1-1.3b",
    repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    revision="0fad780a534b6463e45facd96134c9f345acfa5b",
    download_bytes=28_928_887_859,
    layers=30,
    heads=12,
    ffn_width=8960,
    spec=_spec(guidance=6.0),
)
WAN_14B = WanModel(
    name="wan2.1-14b",
    repository="Wan-AI/Wan2.1-T2V-14B-Diffusers",
    revision="38ec498cb3208fb688890f8cc7e94ede2cbd7f68",
    download_bytes=80_406_933_703,
    layers=40,
    heads=40,
    ffn_width=13824,
    spec=_spec(guidance=5.0),
)
MODELS = {model.name: model for model in (WAN_1_3B, WAN_14B)}
