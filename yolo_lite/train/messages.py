"""What a run has to say: kept in ``Trainer.messages``, and given to ``logging``, to the logger "yolo_lite.train".

What may be a mistake is a warning, which Python prints where logging is not set up; a ``Note`` is of level INFO::

    logging.basicConfig(level=logging.INFO)  # shows the notes too
    logging.getLogger("yolo_lite.train").setLevel(logging.ERROR)  # shows neither
"""

import logging
from collections.abc import Iterable

logger = logging.getLogger("yolo_lite.train")


class Note(str):
    """A message that is not a warning: what was found, and nothing to do about it.

    >>> Note("validation: none") == "validation: none"
    True
    """


def log(messages: Iterable[str]) -> None:
    """Gives messages to the logger: a Note as INFO, others as WARNING."""
    for message in messages:
        logger.log(logging.INFO if isinstance(message, Note) else logging.WARNING, "%s", message)
