"""The tracker `tiny`: training, evaluation, model card."""
