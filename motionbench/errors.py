"""Errors that say what was expected, what came, and how to mend it."""

from __future__ import annotations


class MotionBenchError(Exception):
    """Base of every error that MotionBench raises on purpose; `reason` is what a failed record carries."""

    reason = "error"


class ShapeError(MotionBenchError, ValueError):
    """An array has another shape or type than its function takes."""


class VideoError(MotionBenchError):
    """A file is missing, empty, truncated, holds no video, or decodes to another length than it declares."""

    reason = "bad_video"


class ReaderError(VideoError):
    """A video could not be read by a fault that is not the file's: the message names the error and the libraries."""

    reason = "error"


class ManifestError(MotionBenchError, ValueError):
    """A split's manifest is malformed; the message names file and line."""


class ConfigError(MotionBenchError, ValueError):
    """A configuration key or value is not one that the method takes."""


class UnknownNameError(MotionBenchError, KeyError):
    """No plugin of that name is installed."""

    def __str__(self) -> str:
        return str(self.args[0])


class PluginError(MotionBenchError):
    """An installed entry point cannot be loaded or is not what its group asks for."""


class MissingWeightsError(MotionBenchError):
    """Weights are absent, partial or of another model; the message holds the command that gets them."""

    reason = "missing_weights"


class MissingInputError(MotionBenchError):
    """A method was not given an input that its contract names."""


class MissingExtra(MotionBenchError, ImportError):
    """An optional dependency is not installed; the message holds the pip command."""


class NotFiniteError(MotionBenchError, ArithmeticError):
    """A loss, a latent or a frame became NaN or infinite."""

    reason = "nan"


class StoreError(MotionBenchError):
    """A results folder cannot be read or written, or belongs to another configuration."""
