"""MotionBench: benchmark and evaluation suite for video motion transfer."""

__version__ = "0.1.0"
