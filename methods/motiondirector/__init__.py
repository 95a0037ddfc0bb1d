"""MotionDirector (arXiv:2310.08465) on a video transformer: dual-path LoRAs and the appearance-debiased loss."""
