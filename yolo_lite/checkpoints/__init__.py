"""Checkpoints: weights and the description of their network in one file; our own format and official ones."""
