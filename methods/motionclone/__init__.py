"""MotionClone-style guidance on a video transformer: an analogue of MotionClone (ICLR 2025), not a port."""
