"""Space-time features for motion transfer (arXiv:2311.17009) on a video transformer: spatial marginal means."""
