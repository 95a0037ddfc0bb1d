"""The embedded image-text model: an open_clip architecture small enough to ship, learned from the procedural world."""
