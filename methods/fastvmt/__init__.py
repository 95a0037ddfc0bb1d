"""FastVMT (ICLR 2026) on a video transformer: guidance by attention flow in sliding windows, with gradients reused."""
