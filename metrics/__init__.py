"""Metrics, and the trackers and embedders that they measure with."""
