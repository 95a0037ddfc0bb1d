"""What the methods that read attention share: they refuse a backbone or a block that they cannot read, at once."""

from __future__ import annotations

from typing import Any

from motionbench.method import Runtime

from ..backbones.backbone import Backbone
from ..taps.features import middle_block
from ..taps.self_attention import require_self_attentions
from .method import GuidanceMethod


class AttentionMethod(GuidanceMethod):
    """A guidance method that reads the self-attention of blocks; raises ConfigError where there are no such blocks."""

    def __init__(self, config: Any, runtime: Runtime, backbone: Backbone) -> None:
        require_self_attentions(self.name, backbone)
        super().__init__(config, runtime, backbone)
        self.blocks = self.chosen_blocks()

    def chosen_blocks(self) -> list[int]:
        """The blocks that are read, ascending: the one of `config.block`, or the middle one if that is None."""
        return [middle_block(self.backbone, self.config.block)]
