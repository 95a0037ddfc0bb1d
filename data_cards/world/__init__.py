"""The procedural world: scenes, objects, figures and camera paths, rendered with exact ground truth."""
