"""DeT (Decouple and Track, arXiv:2503.17350): temporal kernels beside every self-attention."""
