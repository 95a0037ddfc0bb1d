"""tiny-clip through open_clip: configuration, saving, loading, and embeddings of clips and captions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from motionbench.errors import MissingWeightsError
from motionbench.loading import loading
from motionbench.typed_json import to_object

from .content import ContentWords
from .tokenizer import WordTokenizer

NAME = "tiny-clip"
FOLDER = Path(__file__).resolve().parent.parent / "weights" / "tiny_clip"
SIZE = 64


def model_config(tokenizer: WordTokenizer) -> dict[str, Any]:
    """The open_clip configuration: ViT of 4 layers x 128 over 4x4 patches, text transformer of 2 layers x 96; about 1
    M parameters."""
    return {
        "embed_dim": 96,
        "vision_cfg": {
            "image_size": SIZE,
            "layers": 4,
            "width": 128,
            "head_width": 32,
            "patch_size": 4,
            "pool_type": "avg",
        },
        "text_cfg": {
            "context_length": tokenizer.context_length,
            "vocab_size": tokenizer.vocab_size,
            "width": 96,
            "heads": 3,
            "layers": 2,
            "mlp_ratio": 2.0,
        },
    }


def build(config: dict[str, Any]) -> nn.Module:
    """The open_clip model of a configuration, with random weights from torch's global generator."""
    from open_clip import CLIP

    model: nn.Module = CLIP(**config)
    return model


def save_clip(
    model: nn.Module, tokenizer: WordTokenizer, content: ContentWords, config: dict[str, Any], folder: Path
) -> None:
    """Write tiny-clip.json (open_clip), tiny-clip.safetensors (fp16), vocabulary.json and content.json into
    `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(half, folder / f"{NAME}.safetensors")
    (folder / f"{NAME}.safetensors").chmod(0o644)  # safetensors writes for the owner only
    (folder / f"{NAME}.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save(folder / "vocabulary.json")
    (folder / "content.json").write_text(json.dumps(asdict(content), indent=1) + "\n")


@dataclass
class TinyClip:
    """The loaded model with what reads its inputs. mean, std: (3, 1, 1), of pixels in [0, 1]; content: the words it
    can tell apart."""

    model: Any
    tokenizer: WordTokenizer
    content: ContentWords
    mean: Tensor
    std: Tensor
    device: str

    @classmethod
    def from_folder(cls, folder: Path = FOLDER, device: str = "cpu") -> TinyClip:
        """The model in `folder`, loaded by open_clip as it loads any local checkpoint. Raises MissingWeightsError if
        it is not whole."""
        with loading():
            import open_clip

        try:
            open_clip.add_model_config(folder / f"{NAME}.json")
            model = open_clip.create_model(NAME, pretrained=str(folder / f"{NAME}.safetensors"), device=device)
            content = to_object(ContentWords, json.loads((folder / "content.json").read_text()))
        except (OSError, ValueError, RuntimeError) as error:
            raise MissingWeightsError(f"no usable tiny-clip in {folder}: {error}; reinstall the package") from error
        tokenizer = WordTokenizer.from_file(folder / "vocabulary.json")
        return cls(model.eval().requires_grad_(False), tokenizer, content, *normalization(device), device)

    @torch.inference_mode()
    def embed_frames(self, frames: NDArray[np.uint8]) -> Tensor:
        """Unit vectors (T, D) of frames (T, H, W, 3), each resized to 64x64."""
        x = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2).float() / 255
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, size=(SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return F.normalize(self.model.encode_image((x - self.mean) / self.std), dim=-1)

    def embed_clip(self, frames: NDArray[np.uint8]) -> Tensor:
        """The unit vector (D,) of a clip: the direction of its frames' mean."""
        return F.normalize(self.embed_frames(frames).mean(dim=0), dim=-1)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (M, D) of texts."""
        return F.normalize(self.model.encode_text(self.tokenizer(texts).to(self.device)), dim=-1)


def normalization(device: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation (3, 1, 1) that open_clip's own preprocessing uses for a model without special ones."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return mean, std
