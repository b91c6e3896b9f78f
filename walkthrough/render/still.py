"""The words of an explorer, as they stand under its picture where there is no kernel: reopened, exported, on GitHub.

JupyterLab shows one kind of an output, the picture, and gives it no alternative text. The settings are in no picture
at all. So the words are an output of their own, which the live view before it makes needless.
"""

from html import escape

# What stands before the words is the live view, or about to be it, if it is not a picture, not hidden and not an error.
# The rule comes with the words, so that they are not seen for the moment that the live view takes to load.
LIVE = ".jp-OutputArea-output:not(.jp-RenderedImage, .lm-mod-hidden, .jupyter-widgets)"
WORDS = ".jp-OutputArea-child:has(> .jp-OutputArea-output > .wt-words)"
STYLE = f"<style>.jp-OutputArea-child:has(> {LIVE}) + {WORDS} {{ display: none }}</style>"


def words_html(words: str) -> str:
    """Lines of words as HTML.

    >>> words_html("Stepper: step 0\\n  anchor_t < 4").removeprefix(STYLE)
    '<div class="wt-words">Stepper: step 0<br>&emsp;anchor_t &lt; 4</div>'
    """
    lines = [line.replace("  ", "&emsp;") for line in escape(words, quote=False).split("\n")]
    return f'{STYLE}<div class="wt-words">{"<br>".join(lines)}</div>'
