"""Data cards: the procedural world, the splits and their truth."""
