"""Explorers inside of widgets: ``ipywidgets.HBox([anchors, losses])``."""

import sys
from typing import Any


class Nestable:
    """What an ipywidgets box asks of its children: to be a Widget by isinstance, and to name the model of the page.

    An explorer is not a Widget: it works in programs where ipywidgets is not installed, and has no page before it is
    shown. Like weakref.proxy and other stand-ins, it says by ``__class__`` what it stands for, from when ipywidgets is
    imported on; ``type(explorer)`` is its own class always.
    """

    @property
    def widget(self) -> Any:
        """The live page as a widget."""
        raise TypeError("an explorer has a widget")

    @property  # type: ignore[misc]  # as unittest.mock and weakref.proxy have it
    def __class__(self) -> type:
        if "ipywidgets" not in sys.modules:
            return type(self)
        from walkthrough.render.live import Live

        return Live

    @property
    def model_id(self) -> str:
        """The name of the live page's model in the notebook."""
        return str(self.widget.model_id)

    @property
    def layout(self) -> Any:
        """The widget's layout: ``explorer.layout.width = "60%"``."""
        return self.widget.layout

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *dir(type(self))})
