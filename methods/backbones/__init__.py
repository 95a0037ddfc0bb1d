"""Backbones: Wan-class text-to-video models behind one class."""
