"""What all methods on a backbone share: how they are made, and that an adapter runs where it was fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from motionbench.backbone import make_backbone
from motionbench.config import suited_config
from motionbench.errors import ConfigError
from motionbench.method import InputContract, Runtime

if TYPE_CHECKING:
    from .backbone import Backbone  # brings torch, which the controls of pixels can do without


class OfBackbone(Protocol):
    """Anything that was made on a backbone and keeps its name, as adapters do."""

    @property
    def backbone(self) -> str: ...


class BackboneMethod:
    """A method on a backbone, with the configuration and the runtime that it was made with."""

    name: ClassVar[str]
    contract: ClassVar[InputContract]
    Config: ClassVar[type]
    presets: ClassVar[dict[str, dict[str, Any]]]

    def __init__(self, config: Any, runtime: Runtime, backbone: Backbone) -> None:
        self.config = config
        self.runtime = runtime
        self.backbone = backbone

    @classmethod
    def create(cls, config: Any, runtime: Runtime) -> Self:
        """The method on the runtime's backbone; config None takes the preset that suits the backbone.

        Raises ConfigError if it cannot run there.
        """
        config = suited_config(cls, runtime.backbone, config)
        return cls(config, runtime, make_backbone(runtime))

    def require_same_backbone(self, adapter: OfBackbone) -> None:
        """Raises ConfigError for an adapter of another backbone."""
        if adapter.backbone != self.backbone.name:
            raise ConfigError(f"adapter of backbone {adapter.backbone} cannot run on {self.backbone.name}")
