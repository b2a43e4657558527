"""Make docs/draw.gif, a digit that is drawn and read row by row: ``python docs/hooks/animate.py``, with Chromium."""

import io
import shutil
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from rnn_tasks import runs
from rnn_tasks.page import server
from rnn_tasks.page.app import app

DOCS = Path(__file__).parent.parent
sys.path.insert(0, str(DOCS.parent / "tests"))
from strokes import written  # noqa: E402

SIZE, SHOWN = {"width": 1280, "height": 830}, (704, 456)
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


def frames(page: Page, number: str) -> Iterator[Image.Image]:
    """Draw the digits of a number, and read them row by row; a picture of each step."""
    box = page.locator("#canvas").bounding_box()
    for stroke in written(number):
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for begin, end in pairwise(points):
            for part in (0.34, 0.67, 1):
                page.mouse.move(*(a + part * (b - a) for a, b in zip(begin, end, strict=True)), steps=3)
                yield shot(page)
        page.mouse.up()
    page.wait_for_timeout(600)
    for row in range(1, 29, 2):
        page.locator("#row").evaluate(f"slider => {{ slider.value = {row}; slider.dispatchEvent(new Event('input')) }}")
        page.wait_for_timeout(60)
        yield shot(page)


def shot(page: Page) -> Image.Image:
    """Return a small picture of the page."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)


def main() -> None:
    """Write the animation."""
    listening = server.listen()
    running = server.server(app(runs.load("handwriting"), runs.load("report")))
    threading.Thread(target=running.run, args=([listening],), daemon=True).start()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(server.address(listening))
        pictures = [frame.quantize(64) for frame in frames(page, "4")]
        browser.close()
    running.should_exit = True
    times = [90] * (len(pictures) - 1) + [2500]
    pictures[0].save(
        DOCS / "draw.gif", save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True
    )
    print(DOCS / "draw.gif", len(pictures), "pictures", (DOCS / "draw.gif").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
