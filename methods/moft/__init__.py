"""MOFT (arXiv:2405.14864) on a video transformer: content-free features of motion channels."""
