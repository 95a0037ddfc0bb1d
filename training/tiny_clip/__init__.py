"""The image-text model of the embedded world: training, evaluation, model card."""
