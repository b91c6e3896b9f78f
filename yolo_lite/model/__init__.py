"""The network: blocks, the detection head, specs, checkpoints."""
