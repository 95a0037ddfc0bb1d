"""Motion Inversion (arXiv:2403.20193) on a video transformer: motion as embeddings of every self-attention."""
