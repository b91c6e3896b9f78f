"""make bench: this project and YOLOv5 7.0.14, its peer, measured in turns within one run.

- figures.py: what is measured, and the goals. growth.py: how it grows with sizes, as curves.
- ours.py, peer.py, real_nms.py: how each side does it, each in a process of its own, with a Python of its own; the
  data that they get is in inputs.py and data.py, the loop they run in worker.py.
- turns.py: asks the processes in turn. report.py, plots.py: tables, JSON, pictures, docs/performance.md.
"""
