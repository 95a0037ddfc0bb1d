"""Methods of motion transfer, and the backbones that they run on."""
