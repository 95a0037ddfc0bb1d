"""Sampling that is guided by a reference: improved latents, and how attention flows between frames."""
