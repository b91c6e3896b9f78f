"""Explorers: a state with declared controls, compute(state), scene(result). See base.py and controls.py."""
