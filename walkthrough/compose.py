"""Scenes side by side and one under the other."""

from collections.abc import Sequence
from dataclasses import replace

from walkthrough.scene import Key, Scene


def row(*scenes: Scene, titles: Sequence[str] | None = None) -> Scene:
    """Scenes side by side; titles, one a scene, go over their first panels."""
    if titles is not None:
        if len(titles) != len(scenes):
            raise ValueError(f"{len(scenes)} scenes, but {len(titles)} titles")
        scenes = tuple(_titled(scene, title) for scene, title in zip(scenes, titles, strict=True))
    depth = max((len(scene.rows) for scene in scenes), default=0)
    rows = tuple(sum((scene.rows[k] for scene in scenes if k < len(scene.rows)), ()) for k in range(depth))
    return Scene(rows, _merged_legend(scenes), _joined_words(scenes))


def column(*scenes: Scene) -> Scene:
    """Scenes one under the other."""
    return Scene(sum((scene.rows for scene in scenes), ()), _merged_legend(scenes), _joined_words(scenes))


def _titled(scene: Scene, title: str) -> Scene:
    if not scene.rows:
        return scene
    first, *others = scene.rows[0]
    words = f"{title}: {scene.words}" if scene.words else ""
    return replace(scene, rows=((replace(first, title=title), *others), *scene.rows[1:]), words=words)


def _merged_legend(scenes: Sequence[Scene]) -> tuple[Key, ...]:
    return tuple(dict.fromkeys(key for scene in scenes for key in scene.legend))


def _joined_words(scenes: Sequence[Scene]) -> str:
    return "\n".join(map(repr, scenes)) if any(scene.words for scene in scenes) else ""
