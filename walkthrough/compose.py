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
    every = [scene.all_rows for scene in scenes]
    depth = max(map(len, every), default=0)
    rows = tuple(sum((own[k] for own in every if k < len(own)), ()) for k in range(depth))
    return Scene(rows, _merged_legend(scenes), _joined_words(scenes))


def column(*scenes: Scene) -> Scene:
    """Scenes one under the other."""
    return Scene(sum((scene.all_rows for scene in scenes), ()), _merged_legend(scenes), _joined_words(scenes))


def _titled(scene: Scene, title: str) -> Scene:
    rows = scene.all_rows
    if not rows:
        return scene
    first, *others = rows[0]
    words = f"{title}: {scene.words}" if scene.words else ""
    return replace(
        scene, rows=((replace(first, title=title), *others), *rows[1:]), legend=scene.all_keys, words=words, more=()
    )


def _merged_legend(scenes: Sequence[Scene]) -> tuple[Key, ...]:
    return tuple(dict.fromkeys(key for scene in scenes for key in scene.all_keys))


def _joined_words(scenes: Sequence[Scene]) -> str:
    return "\n".join(map(repr, scenes)) if any(scene.words for scene in scenes) else ""
