"""AnchorExplorer's question: which anchors are matched to the chosen object? All look alike until it is revealed."""

from walkthrough.explorers.anchors.scene import name_of, size_of, verdict
from walkthrough.explorers.anchors.state import Result
from walkthrough.images import faded
from walkthrough.scene import Boxes, Guess, Key, Panel, Picture, Scene

LEGEND = (Key("the object", "object", dash="solid"), Key("anchor", "anchor", dash="dashed"))


def is_guessed(result: Result) -> bool:
    """Whether the reader is asked first: there has to be an object."""
    return result.state.guess and result.candidates is not None


def question_of(result: Result) -> str:
    """What is asked."""
    count, name = sum(map(len, result.state.anchors)), name_of(result, result.state.object)
    if count == 1:
        return f"Is the anchor matched to the {name}?"
    return f"Which of the {count} anchors are matched to the {name}?"


def guess_scene(result: Result) -> Scene:
    """The object with all anchors around its centre, and the question with an answer for each of them."""
    state = result.state
    places = [(level, anchor) for level, own in enumerate(state.anchors) for anchor in range(len(own))]
    refs = tuple(f"pair {k}" for k in range(len(places)))
    found = [verdict(result, level, anchor, state.object) for level, anchor in places]
    sizes = [state.anchors[level][anchor] for level, anchor in places]
    answers = [
        f"{size_of(size)} px, stride {state.strides[level]}" for size, (level, _) in zip(sizes, places, strict=True)
    ]
    x1, y1, x2, y2 = state.objects[state.object][:4]
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    outlines = tuple((x - w / 2, y - h / 2, x + w / 2, y + h / 2) for w, h in sizes)
    height, width = state.shown.size
    layers = (
        Picture(faded(state.shown.pixels)),
        Boxes(tuple(box[:4] for box in state.objects), (), (), ("object",), width=1),
        Boxes(((x1, y1, x2, y2),), (name_of(result, state.object),), width=4),
        Boxes(outlines, colours=("anchor",), dash="dashed", width=1.5, refs=refs),
    )
    title = f"The object is {x2 - x1:.0f} x {y2 - y1:.0f} px"
    caption = f"a match: no side differs by a factor of {state.anchor_t:g} or more"
    guess = Guess(
        question_of(result),
        tuple(answers),
        tuple(each.passed for each in found),
        tuple(each.reason for each in found),
        "Which are matched?",
        "choose here, or click an outline",
        refs,
    )
    return Scene(((Panel(layers, width, height, title, caption), guess),), LEGEND, question_of(result))
