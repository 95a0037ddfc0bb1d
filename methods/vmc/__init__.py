"""VMC (arXiv:2312.00845) on a video transformer, with Spectral Motion Alignment (arXiv:2403.15249) as a switch."""
