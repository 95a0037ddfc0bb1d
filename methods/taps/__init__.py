"""What a transformer shows of itself: features of blocks, queries and keys, and the grid of its tokens."""
