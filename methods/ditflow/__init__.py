"""DiTFlow (Pondaven et al., CVPR 2025) on a video transformer: guidance by attention motion flow."""
