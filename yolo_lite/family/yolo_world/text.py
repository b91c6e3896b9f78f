"""A small text encoder: the words of a phrase -> one embedding.

YOLO-World takes the text encoder of CLIP (Radford et al. 2021, arXiv 2103.00020), which has read hundreds of millions
of captions. This one knows the words of its training phrases and nothing else, and is trained together with the
detector. Words mean the same in every phrase, so a phrase never seen has a meaning if its words are known.

Shape letters: K phrases, D numbers of an embedding.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def words_of(phrase: str) -> list[str]:
    """
    >>> words_of("Red  circle")
    ['red', 'circle']
    """
    return phrase.lower().split()


def new_words(phrases: Iterable[str], known: Sequence[str] = ()) -> list[str]:
    """The words of these phrases that are not known, each once, in their order.

    >>> new_words(["red circle", "red square"], known=["red"])
    ['circle', 'square']
    """
    found = dict.fromkeys(word for phrase in phrases for word in words_of(phrase))
    return [word for word in found if word not in known]


def check_different(phrases: Sequence[str]) -> None:
    """ValueError unless it is a list of one phrase or more, no two of them of the same words.

    Their embeddings would be equal: case, spaces and the order of the words do not count in a TextEncoder.

    >>> check_different(["red circle", "Circle  red"])
    Traceback (most recent call last):
        ...
    ValueError: texts with equal words cannot be told apart: 'red circle' and 'Circle  red'
    """
    check_texts(phrases)
    seen: dict[tuple[str, ...], str] = {}
    for phrase in phrases:
        words = tuple(sorted(words_of(phrase)))
        if words in seen:
            raise ValueError(f"texts with equal words cannot be told apart: {seen[words]!r} and {phrase!r}")
        seen[words] = phrase


def check_texts(phrases: Sequence[str]) -> None:
    """ValueError unless it is a list of one phrase or more."""
    listed = isinstance(phrases, list | tuple) and len(phrases) > 0
    if not listed or not all(isinstance(phrase, str) for phrase in phrases):
        raise ValueError(f"a vocabulary is a list of one phrase or more, each a text, not {phrases!r}")


class TextEncoder(nn.Module):
    """The embedding of a phrase is the sum of its words' embeddings: each word is learnt on its own.

    The order of the words does not count: "square red" is "red square".

    Args:
        words: all that it knows. width: D.

    >>> encoder = TextEncoder(["red", "blue", "circle"], 16)
    >>> encoder(["red circle", "blue circle"]).shape
    torch.Size([2, 16])
    """

    def __init__(self, words: Sequence[str], width: int) -> None:
        super().__init__()
        self.words, self.width = tuple(words), width
        # one parameter a word: a network with more words takes over what another one has learnt
        self.vectors = nn.ParameterList(torch.randn(width) / width**0.5 for _ in words)  # of length 1, more or less

    def forward(self, phrases: Sequence[str]) -> Tensor:
        """Phrases -> (K, D).

        Raises:
            ValueError: a phrase without words, or with one that is not known; names it.
        """
        self.check(phrases)
        place = {word: index for index, word in enumerate(self.words)}
        found = [torch.stack([self.vectors[place[word]] for word in words_of(phrase)]).sum(0) for phrase in phrases]
        return torch.stack(found)

    def check(self, phrases: Sequence[str]) -> None:
        """Raises a ValueError, in one sentence, for phrases that have no embedding."""
        check_texts(phrases)
        for phrase in phrases:
            if not words_of(phrase):
                raise ValueError(f"a phrase of the vocabulary has no words: {phrase!r}")
        if unknown := new_words(phrases, self.words):
            first = next(phrase for phrase in phrases if unknown[0] in words_of(phrase))
            raise ValueError(
                f"the word {unknown[0]!r} of {first!r} was in no training phrase, so it means nothing to this network; "
                f"known are {', '.join(self.words)}"
            )
