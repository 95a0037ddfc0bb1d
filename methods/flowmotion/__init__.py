"""FlowMotion on a video transformer: the clean latents that a sampler foresees are pulled to the reference's."""
