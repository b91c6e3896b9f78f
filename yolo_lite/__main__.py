"""``python -m yolo_lite`` is the command ``yolo-lite``."""

import sys

from yolo_lite.cli import main

if __name__ == "__main__":
    sys.exit(main())
