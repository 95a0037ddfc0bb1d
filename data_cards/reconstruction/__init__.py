"""The reconstruction of MotionBench from public sets: a recipe, and what cuts it from a user's own download."""
