"""The naive two-stage LoRA: appearance first, then motion, on all heads."""
