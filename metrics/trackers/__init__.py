"""Point trackers behind one interface."""
