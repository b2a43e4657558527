"""The drawing page in Chromium: strokes, photos, keyboard, touch, sizes, errors."""

import shutil
import threading

import pytest
import torch
from helpers import picture
from strokes import written

from rnn_tasks import runs
from rnn_tasks.page import server
from rnn_tasks.page.app import MAX_PHOTO, app

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
expect = sync_api.expect

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DARK = {"color_scheme": "dark"}


@pytest.fixture(scope="module")
def serve():
    """Serve a page and give its address."""
    started = []

    def serve(*networks):
        listening, running = server.listen(), server.server(app(*networks))
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        started.append((running, thread))
        return server.address(listening)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield serve
    for running, thread in started:
        running.should_exit = True
        thread.join(5)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def address(serve):
    """The address of a page with the networks that come with the project."""
    return serve(runs.load(runs.PRETRAINED / "handwriting"), runs.load(runs.PRETRAINED / "report"))


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser):
    """Open an address with the options of a browser's context; a page that logs errors or asks other hosts fails."""
    pages, complaints = [], []

    def show(address, **options):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        page = context.new_page()
        page.on("console", lambda entry: complaints.append(entry.text) if entry.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: sent.url.startswith(address) or complaints.append(sent.url))
        page.set_default_timeout(10_000)
        pages.append(page)
        page.goto(address)
        page.wait_for_selector("#page:visible, #untrained:visible")
        return page

    yield show
    for page in pages:
        page.context.close()
    expected = ("status of 422", "INTERNET_DISCONNECTED", "getImageData")  # caused by the tests on purpose
    assert [text for text in complaints if not any(part in text for part in expected)] == []


@pytest.fixture
def page(show, address):
    return show(address)


def points(page, stroke):
    box = page.locator("#canvas").bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]


def draw(page, number):
    """Draw a number's digits with the mouse."""
    for stroke in written(number):
        first, *others = points(page, stroke)
        page.mouse.move(*first)
        page.mouse.down()
        for x, y in others:
            page.mouse.move(x, y)
        page.mouse.up()


def touch(page, number):
    """Draw a number's digits with a finger."""
    finger = page.context.new_cdp_session(page)
    for stroke in written(number):
        for i, (x, y) in enumerate(points(page, stroke)):
            kind = "touchMove" if i else "touchStart"
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def reads(page, digit):
    """Wait until no request is under way, and the reader's answer is this digit."""
    expect(page.locator(".readings")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".answer.reader b")).to_have_text(str(digit))


def upload(page, content):
    page.set_input_files("#file", {"name": "photo.png", "mimeType": "image/png", "buffer": content})


def give(page, kind, content, size=0):
    """Drop or paste a file of some bytes, filled up with zeros to a size."""
    page.evaluate(
        """([kind, content, size]) => {
            const parts = [Uint8Array.from(content), new Uint8Array(Math.max(0, size - content.length))];
            const data = new DataTransfer();
            data.items.add(new File(parts, "digit.png", {type: "image/png"}));
            const event = kind === "paste"
                ? new ClipboardEvent(kind, {clipboardData: data})
                : new DragEvent(kind, {dataTransfer: data, cancelable: true});
            document.dispatchEvent(event);
        }""",
        [kind, list(content), size],
    )


def ink(page, canvas="#canvas"):
    """The number of painted pixels of a canvas, and the mean of their red, 0 to 255."""
    return page.evaluate(
        """name => {
            const canvas = document.querySelector(name);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0, shade = 0;
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 127) { count++; shade += data[i]; }
            return [count, shade / count];
        }""",
        canvas,
    )


def scrolls_sideways(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_each_drawn_digit_is_read_correctly(page):
    for digit in range(10):
        draw(page, str(digit))
        reads(page, digit)
        page.keyboard.press("Escape")
        reads(page, "–")


def test_image_and_probabilities_are_shown(page):
    draw(page, "3")
    reads(page, 3)
    assert ink(page, "#image")[0] > 40
    for name in ("reader", "report"):
        bars = page.locator(f"#bars .number.{name}").all_inner_texts()
        shares = [float(text.removesuffix(" %")) for text in bars]
        assert len(shares) == 10 and 98 < sum(shares) < 102 and shares.index(max(shares)) == 3
    expect(page.locator("#spoken")).to_contain_text("After 28 rows. Trained for handwriting: 3, ")
    expect(page.locator("#time")).to_contain_text("ms")


def test_requests_are_sent_while_drawing_and_one_at_a_time(page):
    under_way, counts = set(), []
    page.on("request", lambda sent: (under_way.add(sent), counts.append(len(under_way))))
    page.on("requestfinished", lambda sent: under_way.discard(sent))
    (stroke,) = written("8")
    first, *others = points(page, stroke)
    page.mouse.move(*first)
    page.mouse.down()
    for x, y in others:
        page.mouse.move(x, y, steps=3)
    expect(page.locator(".answer.reader b")).not_to_have_text("–")  # the pen is still down
    page.mouse.up()
    reads(page, 8)
    assert len(counts) > 2 and max(counts) == 1


def test_row_is_chosen_by_slider_keys_play_button_and_click_on_the_curves(page):
    draw(page, "7")
    reads(page, 7)
    after_all_rows = page.locator("#bars").inner_text()
    row = page.locator("#row")
    row.focus()
    page.keyboard.press("Home")
    expect(page.locator("#row-count")).to_have_text("1 of 28 rows")
    assert page.locator("#bars").inner_text() != after_all_rows
    page.keyboard.press("ArrowRight")
    assert row.get_attribute("aria-valuetext") == "2 of 28 rows"
    hidden = page.locator("#unread").bounding_box()["height"] / page.locator("#image").bounding_box()["height"]
    assert abs(hidden - 26 / 28) < 0.02
    page.locator("#play").press("Enter")
    expect(page.locator("#play")).to_have_accessible_name("Pause")
    expect(page.locator("#row-count")).to_have_text("28 of 28 rows")
    expect(page.locator("#play")).to_have_accessible_name("Play the rows")
    assert page.locator("#bars").inner_text() == after_all_rows
    curves = page.locator(".curves .reader svg")
    assert curves.locator("path").count() == 10
    box = curves.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.545, box["y"] + box["height"] / 2)
    expect(page.locator("#row-count")).to_have_text("15 of 28 rows")


def test_undo_and_clear_by_buttons_and_keys(page):
    expect(page.locator("#undo")).to_be_disabled()
    draw(page, "4")
    reads(page, 4)
    two = ink(page)[0]
    page.keyboard.press("Control+z")
    assert 0 < ink(page)[0] < two
    page.locator("#undo").click()
    assert ink(page)[0] == 0
    reads(page, "–")
    draw(page, "6")
    reads(page, 6)
    page.locator("#clear").press("Enter")
    reads(page, "–")
    page.keyboard.press("Control+z")
    reads(page, 6)
    page.keyboard.press("Delete")
    reads(page, "–")
    expect(page.locator("#hint")).to_be_visible()


def test_controls_have_focus_in_order_an_outline_and_a_name(page):
    draw(page, "25")
    reads(page, 2)
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        outline = "e => getComputedStyle(e.closest('label') ?? e).outlineStyle"
        assert page.locator(":focus").evaluate(outline) == "solid"
    assert reached == ["undo", "clear", "file", "digit", "play", "row"]
    for control in page.locator("button, input").all():
        assert control.evaluate("e => e.ariaLabel || e.labels?.length || e.innerText")


def test_shown_digit_is_chosen_by_keys_and_clicks(page):
    draw(page, "407")
    expect(page.locator("#digits label")).to_have_text(["4", "0", "7"])
    reads(page, 4)
    page.locator("#digits input").first.focus()
    page.keyboard.press("ArrowRight")
    reads(page, 0)
    page.locator("#digits label").nth(2).click()
    reads(page, 7)


def test_digit_of_a_photo_is_chosen_by_a_click_on_it(page):
    draw(page, "1")
    reads(page, 1)
    upload(page, picture("25"))
    expect(page.locator("#digits label")).to_have_text(["2", "5"])
    reads(page, 2)
    assert ink(page)[1] > 200  # paper
    page.mouse.click(*points(page, [(0.75, 0.5)])[0])  # on the second
    reads(page, 5)
    page.keyboard.press("Control+z")
    reads(page, 1)


def test_photo_that_the_browser_cannot_show(page):
    upload(page, picture("25", "TIFF"))
    expect(page.locator("#digits label")).to_have_text(["2", "5"])
    assert ink(page)[0] > 1000  # the digits where they stand in it


def test_photo_is_dropped_or_pasted(page):
    for kind in ("drop", "paste"):
        give(page, kind, picture("3"))
        reads(page, 3)
        page.locator("#clear").click()
        reads(page, "–")


def test_errors_are_shown_and_keep_the_drawing(page):
    draw(page, "2")
    reads(page, 2)
    message = page.get_by_role("alert")
    upload(page, b"no picture")
    expect(message).to_contain_text("no image that can be read")
    reads(page, 2)
    give(page, "drop", b"", MAX_PHOTO + 1)
    expect(message).to_contain_text("too large: more than 25 MB")
    page.context.set_offline(True)
    draw(page, "1")
    expect(message).to_contain_text("The server does not answer")
    page.context.set_offline(False)
    page.keyboard.press("Control+z")
    expect(message).to_be_empty()
    reads(page, 2)


def test_drawing_with_a_finger_on_a_phone(show, address):
    page = show(address, **PHONE)
    touch(page, "5")
    reads(page, 5)
    assert page.evaluate("scrollY") == 0 and not scrolls_sideways(page)
    page.locator("#clear").tap()
    reads(page, "–")
    touch(page, "407")
    expect(page.locator("#digits label")).to_have_text(["4", "0", "7"])
    expect(page.locator("#text")).to_have_text("407")
    assert not scrolls_sideways(page)
    controls = page.locator(".tools button:visible, .tools label:visible, .step button, .step input").all()
    heights = [box["height"] for control in controls if (box := control.bounding_box())]
    assert len(heights) > 4 and min(heights) >= 40


def test_drawing_survives_a_resize(page):
    draw(page, "9")
    reads(page, 9)
    wide = ink(page)[0] / page.locator("#canvas").bounding_box()["width"] ** 2
    for width in (360, 820):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(150)
        narrow = ink(page)[0] / page.locator("#canvas").bounding_box()["width"] ** 2
        assert abs(narrow / wide - 1) < 0.05 and not scrolls_sideways(page)
    page.locator("#canvas").scroll_into_view_if_needed()
    page.keyboard.press("Escape")
    draw(page, "6")
    reads(page, 6)


def test_colours_follow_the_dark_and_light_scheme(page):
    page.emulate_media(color_scheme="light")
    draw(page, "0")
    reads(page, 0)
    shades = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(100)
        paper = page.locator("#paper").evaluate("e => parseInt(getComputedStyle(e).backgroundColor.slice(4))")
        shades[scheme] = paper, ink(page)[1], ink(page, "#image")[1]
    assert shades["light"][0] > 200 > 100 > shades["light"][1] and shades["light"][2] < 100
    assert shades["dark"][0] < 100 < 200 < shades["dark"][1] and shades["dark"][2] > 200


def test_no_animation_where_less_motion_is_preferred(show, address):
    page = show(address, reduced_motion="reduce")
    assert page.locator("#bars span").first.evaluate("e => getComputedStyle(e).transitionProperty") == "none"


def test_page_without_networks_shows_how_to_train_them(show, serve):
    page = show(serve(None, None), **PHONE)
    expect(page.get_by_role("heading", name="No network is trained yet")).to_be_visible()
    expect(page.locator("#commands")).to_contain_text("python -m rnn_tasks.train experiment=mnist_handwriting")
    expect(page.locator("#canvas")).to_be_hidden()
    assert not scrolls_sideways(page)


def test_page_without_the_reports_network(show, serve):
    page = show(serve(runs.load(runs.PRETRAINED / "handwriting"), None))
    expect(page.locator(".answer.report")).to_contain_text("Not trained yet: python -m rnn_tasks.train")
    draw(page, "2")
    reads(page, 2)
    expect(page.locator(".answer.report b")).to_have_text("–")
