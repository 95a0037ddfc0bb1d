"""Pairwise votes of people: the page that asks, what comes back, and how far the metrics decide alike."""
