"""A scene that was saved as a page shows itself without a kernel."""

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from walkthrough import row, show_image, show_series, show_table


def test_a_saved_page_paints_photograph_chart_and_table(chromium: Browser, tmp_path: Path) -> None:
    pixels = np.full((90, 120, 3), (10, 200, 30), np.uint8)
    scene = row(show_image(pixels), show_series({"loss": [3, 2, 1]}), show_table(["layer"], [["Conv"]]))
    scene.save(tmp_path / "scene.html")
    problems: list[str] = []
    page = chromium.new_page(viewport={"width": 1000, "height": 700})
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
    page.goto((tmp_path / "scene.html").as_uri())
    page.wait_for_selector(".wt:not([data-drawn='0'])")
    page.wait_for_selector(".wt .main-svg")
    assert page.locator(".wt td", has_text="Conv").count() == 1
    middle = "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data.slice(0, 3)]"
    assert page.locator(".wt canvas").first.evaluate(middle) == [10, 200, 30]
    assert not page.locator(".wt-copy").is_visible()
    assert problems == []
    page.close()
