"""Augmentations: each is a draw (all that chance decides) and an apply (no chance left)."""
