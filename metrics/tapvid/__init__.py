"""TAP-Vid (arXiv:2211.03726): its annotations read, trackers measured on them as the field measures."""
