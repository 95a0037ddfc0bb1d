"""How the tracker `real` is made: clips of layers in known motion, drawn from nothing, and the training on them."""
