"""Fits on one reference: LoRAs and other small modules, their training, and inversion."""
