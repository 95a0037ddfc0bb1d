"""A method and a metric for MotionBench."""
