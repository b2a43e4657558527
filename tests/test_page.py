"""The server of the drawing page: what it answers, what it refuses."""

import asyncio
import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import picture, trained, write_result_by_hand
from PIL import Image, ImageDraw
from starlette.exceptions import HTTPException
from starlette.requests import Request
from strokes import sent, written

from rnn_tasks import config, draw, runs
from rnn_tasks.page import app as application
from rnn_tasks.page import selection, server
from rnn_tasks.page.app import Queue
from rnn_tasks.page.networks import Networks

HOST = "127.0.0.1:8000"
FILES = ["/", "/page.css", "/page.js", "/icon.svg", "/networks"]


def untrained(*overrides):
    """A run of a small network with its initial weights."""
    cfg = config.compose(["task=mnist", "model.hidden=4", "seed=1", *overrides])
    task, model = config.build(cfg)
    return runs.Run(Path("small"), cfg, task, model.eval(), 0, [False], None)


@pytest.fixture(scope="module")
def networks():
    return untrained(), untrained()


@pytest.fixture
def client(networks):
    return Client(*networks)


class Client:
    """Sends requests to the application without a network."""

    def __init__(self, *networks):
        self.app = application.app(*networks)

    def get(self, path, **headers):
        return asyncio.run(self.ask("GET", path, [b""], **headers))

    def post(self, path, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(self.ask("POST", path, [content], **headers))

    async def ask(self, method, path, parts, wait=0.0, host=HOST, origin=f"http://{HOST}"):
        """Send a body in parts, ``wait`` seconds before each."""
        left, messages = list(parts), []

        async def receive():
            await asyncio.sleep(wait)
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message):
            messages.append(message)

        headers = {"host": host, "origin": origin}
        scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "scheme": "http", "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value is not None],
        }  # fmt: skip
        with suppress(ZeroDivisionError):  # answered, then raised again for the terminal
            await self.app(scope, receive, send)
        content = b"".join(message["body"] for message in messages[1:])
        headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        return Reply(messages[0]["status"], headers, content, len(parts) - len(left))


class Reply(NamedTuple):
    """An answer, and how many parts of the request's body were read."""

    status: int
    headers: dict[str, str]
    content: bytes
    read: int

    def json(self):
        return json.loads(self.content)


def drawing(number, **values):
    return {"strokes": sent(written(number)), **values}


def assert_refused(reply, status, text=""):
    """Assert that a request is refused with a reason in one line."""
    assert reply.status == status
    assert reply.json().keys() == {"error"}
    reason = reply.json()["error"]
    assert reason and text in reason and "\n" not in reason and len(reason) < 200


def test_answer_to_a_single_drawn_digit(client):
    answer = client.post("/drawing", drawing("7")).json()
    (digit,) = answer["digits"]
    assert answer["size"] == [280, 210] and len(answer["text"]) == 1
    assert np.shape(answer["steps"]["reader"]) == np.shape(answer["steps"]["report"]) == (28, 10)
    for name in ("reader", "report"):
        assert np.allclose(np.sum(answer["steps"][name], 1), 1, atol=1e-3)
        assert np.allclose(answer["steps"][name][-1], digit["answers"][name], atol=2e-4)  # after all rows
    assert answer["milliseconds"] > 0 and answer["picked"] == 0


def test_digits_of_a_drawing_are_in_order_with_their_boxes(client):
    answer = client.post("/drawing", drawing("407", pick=2)).json()
    lefts = [digit["box"][0] for digit in answer["digits"]]
    assert len(lefts) == 3 and lefts == sorted(lefts) and answer["picked"] == 2
    assert [digit["line"] for digit in answer["digits"]] == [0, 0, 0]
    width, height = answer["size"]
    boxes = [digit["box"] for digit in answer["digits"]]
    assert all(0 <= a < c <= width and 0 <= b < d <= height for a, b, c, d in boxes)
    first = client.post("/drawing", drawing("40", pick=2)).json()
    assert first["picked"] == 0


def test_steps_of_an_image_equal_those_in_the_drawing(client):
    answer = client.post("/drawing", drawing("407", pick=1)).json()
    image = base64.b64decode(answer["digits"][1]["image"])
    assert client.post("/image", image).json()["steps"] == answer["steps"]
    assert_refused(client.post("/image", image[1:]), 422, "784")
    assert_refused(client.post("/image", image + b"0"), 413)


@pytest.mark.parametrize(
    "strokes", [[[400, 300]], [[200, 100, 500, 102]], [[10, 10, 12, 620]], [[0, 0, 840, 630]] * 40]
)
def test_drawing_without_a_visible_digit_counts_as_one_digit(client, strokes):
    assert len(client.post("/drawing", {"strokes": strokes}).json()["digits"]) == 1


@pytest.mark.parametrize("strokes", [[], [[-500, -500]], [[5000, 5000, 6000, 6000]]])
def test_empty_drawing_is_refused(client, strokes):
    assert_refused(client.post("/drawing", {"strokes": strokes}), 422, "nothing is drawn")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b"7", b'{"strokes": 1}', b'{"strokes": [[1]]}', b'{"strokes": [[]]}',
        b'{"strokes": [["a", "b"]]}', b'{"strokes": [[[1, 2]]]}', b'{"strokes": [[1, NaN]]}',
        b'{"strokes": [[1e999, 1]]}', b'{"strokes": [[1' + b"0" * 400 + b", 1]]}", b"[" * 100_000, b"\xff\xfe",
        b'{"strokes": [], "pick": -1}', b'{"strokes": [], "pick": "0"}', b'{"strokes": {"a": 1}}',
        b'{"strokes": [[' + b"1," * 41_000 + b"1]]}",
    ],
)  # fmt: skip
def test_body_that_is_no_drawing_is_refused(client, content):
    assert_refused(client.post("/drawing", content), 400, "no drawing like")


def test_answer_to_a_photo(client):
    answer = client.post("/photo", picture("25")).json()
    assert answer["size"] == [280, 210] and len(answer["digits"]) == 2


@pytest.mark.parametrize("content", [b"", b"no picture", picture("1")[:300]])
def test_body_that_is_no_image_is_refused(client, content):
    assert_refused(client.post("/photo", content), 422)


def test_photo_without_digits_is_refused(client):
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(file, "PNG")
    assert_refused(client.post("/photo", file.getvalue()), 422, "no digit")


def test_numbers_are_those_of_the_readers_answers(client):
    answer = client.post("/drawing", drawing("407")).json()
    digits = [str(np.argmax(digit["answers"]["reader"])) for digit in answer["digits"]]
    assert answer["text"] == ["".join(digits)]


def test_page_tells_the_size_of_canvas_and_pen(client):
    settings = client.get("/networks").json()
    assert settings["canvas"] == {"width": 840, "height": 630, "pen": 27} and settings["largest_photo"] == 25_000_000


@pytest.mark.parametrize(
    ("overrides", "about"),
    [
        (["model=bilstm", "model.layers=2"], "small; bidirectional LSTM, 2 layers of 4 units"),
        (["model=crnn"], "small; convolutions and a bidirectional LSTM, 4 units"),
        (["model=rnn", "loss.label_smoothing=0.05"], "small; RNN, 4 units; label smoothing makes it less confident"),
    ],
)
def test_description_of_a_network(overrides, about):
    assert selection.describe("reader", untrained(*overrides))["about"] == about


def test_description_tells_the_accuracy_of_the_loaded_replicate():
    run = untrained("model=rnn")
    run.replicate, run.result = 1, {"metrics": {"test": {"accuracy": [0.5, 0.98765]}}}
    about = "small; RNN, 4 units; right on 98.77\N{NO-BREAK SPACE}% of MNIST's test images"
    assert selection.describe("report", run) == {"title": "The report's best", "about": about, "train": None}


def test_page_imports_neither_scikit_learn_nor_the_report():
    code = "import sys, rnn_tasks.page.app; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in modules and "rnn_tasks.page.networks" in modules
    assert not [name for name in modules if name.startswith(("sklearn", "rnn_tasks.report"))]


def test_answers_of_a_missing_network_are_null(networks):
    half = Client(networks[0], None)
    answer = half.post("/drawing", drawing("3")).json()
    assert answer["steps"]["report"] is None and answer["digits"][0]["answers"]["report"] is None
    assert len(answer["steps"]["reader"]) == 28
    described = half.get("/networks").json()["networks"]
    assert described["reader"]["train"] is None and "experiment=mnist_lstm_sgd" in described["report"]["train"]


def test_page_without_networks_names_the_training_command():
    bare = Client(None, None)
    assert bare.get("/").status == 200
    assert "experiment=mnist_handwriting" in bare.get("/networks").json()["networks"]["reader"]["train"]
    assert_refused(bare.post("/drawing", drawing("3")), 503, "experiment=mnist_handwriting")


@pytest.mark.parametrize("path", [*FILES, "/nothing", "/drawing"])
def test_every_answer_has_security_headers(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store" and "server" not in headers


def test_program_error_is_answered_without_details(monkeypatch):
    monkeypatch.setattr(Networks, "read_image", lambda *_: 1 / 0)
    reply = Client(untrained(), None).post("/image", bytes(784))
    assert_refused(reply, 500, "something is wrong")
    assert "content-security-policy" in reply.headers


@pytest.mark.parametrize(
    "path", ["/app.py", "/page.html", "/../app.py", "/%2e%2e/app.py", "/static/..%2f..%2fetc/passwd"]
)
def test_no_other_file_is_served(client, path):
    assert_refused(client.get(path), 404)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[", "10.0.0.1:8000", "a@b:c"])
def test_foreign_host_is_refused(client, host):
    assert_refused(client.get("/", host=host), 421)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:9000", "LOCALHOST"])
def test_own_host_is_accepted(client, host):
    assert client.get("/", host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "https://127.0.0.1:8000"])
def test_foreign_origin_is_refused(client, origin):
    assert_refused(client.post("/drawing", drawing("1"), origin=origin), 403)


def test_post_without_origin_is_refused(networks):
    assert_refused(Client(*networks).post("/drawing", drawing("1"), origin=None), 403)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(client, method):
    assert_refused(asyncio.run(client.ask(method, "/drawing", [b""])), 405)


@pytest.mark.parametrize(("path", "limit"), [("/drawing", application.MAX_DRAWING), ("/photo", application.MAX_PHOTO)])
def test_too_large_body_is_refused_before_its_end(client, path, limit):
    reply = asyncio.run(client.ask("POST", path, [bytes(limit // 10)] * 100))
    assert_refused(reply, 413, f"{limit:,} bytes")
    assert reply.read == 11


def test_slow_body_is_refused(client, monkeypatch):
    monkeypatch.setattr(application, "BODY_TIMEOUT", 0.05)
    reply = asyncio.run(client.ask("POST", "/drawing", [b"{", b"}"], wait=0.04))
    assert_refused(reply, 408, "seconds")


def test_requests_beyond_the_queue_are_refused(client):
    async def send_together():
        parts = [json.dumps(drawing("1")).encode()]
        requests = [client.ask("POST", "/drawing", parts, wait=0.05) for _ in range(application.MAX_PENDING + 2)]
        return await asyncio.gather(*requests)

    replies = asyncio.run(send_together())
    assert sorted(reply.status for reply in replies) == [200] * application.MAX_PENDING + [503] * 2
    for reply in replies:
        if reply.status == 503:
            assert_refused(reply, 503, "busy")
            assert reply.headers["retry-after"] == "1"  # the page sends the request again
    assert client.post("/drawing", drawing("1")).status == 200  # nothing is pending any more


def test_one_request_is_answered_at_a_time(networks, monkeypatch):
    running, most = [], []

    def work(networks, image):
        running.append(image)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return {}

    monkeypatch.setattr(Networks, "read_image", work)
    client = Client(*networks)

    async def send_together():
        return await asyncio.gather(*(client.ask("POST", "/image", [bytes(784)]) for _ in range(3)))

    assert [reply.status for reply in asyncio.run(send_together())] == [200] * 3
    assert most == [1, 1, 1]


def test_requests_in_quick_succession_are_all_answered(client):
    assert {client.post("/image", bytes(784)).status for _ in range(120)} == {200}


def test_page_refers_to_no_other_host():
    for path in Path(application.__file__).parent.glob("page.*"):
        addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"'`]*", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command with a server that is not started: its exit status, what it printed, what it would serve."""

    def call(*words):
        served = []
        monkeypatch.setattr(sys, "argv", ["draw", "--no-browser", *words])
        monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: served.extend(sockets))
        with pytest.raises(SystemExit) as ended:
            draw.main()
        for listening in served:
            listening.close()
        return ended.value.code or 0, *capsys.readouterr(), served

    return call


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["missing"], "missing: no such run"),
        (["adder"], "reads no photos of digits, its task is adder"),
        (["broken"], "config.yaml: is damaged"),
        (["--port", "0"], "no port"),
        (["--port", "x"], "no port"),
    ],
)
def test_bad_arguments_get_one_line(call, workplace, words, reason):
    if words == ["adder"]:
        trained("outputs/adder/one", "task=adder", "trainer.max_epochs=1")
    Path("broken").mkdir()
    Path("broken/config.yaml").write_text("a: [", encoding="utf-8")
    status, out, error, served = call(*words)
    assert status == 2 and out == "" and error.count("\n") == 1 and reason in error and not served


def test_port_in_use_is_refused_or_skipped(call, workplace, monkeypatch):
    monkeypatch.setattr(server, "FIRST_PORT", 18500)  # where no other test that runs beside this one listens
    with server.listen() as taken:
        port = taken.getsockname()[1]
        status, _, error, served = call("--port", str(port))
        assert status == 2 and error.startswith(f"error: --port {port}: ") and error.count("\n") == 1 and not served
        with server.listen() as next_one:
            assert next_one.getsockname() > taken.getsockname() and next_one.getsockname()[0] == "127.0.0.1"


def test_command_without_networks_serves_the_page(call, workplace, monkeypatch):
    monkeypatch.setattr(runs, "PRETRAINED", Path("none"))
    status, _, error, served = call()
    assert status == 0 and error.startswith("http://127.0.0.1:") and len(served) == 1


def test_newest_run_of_the_experiment_replaces_a_missing_pretrained_network(workplace, monkeypatch):
    monkeypatch.setattr(runs, "PRETRAINED", Path("none"))
    loaded, cfg = untrained(), config.compose(["task=mnist"])
    monkeypatch.setattr(runs, "load", lambda path, trust: setattr(loaded, "path", Path(path)) or loaded)
    for name, experiment in (("older", "mnist_handwriting"), ("other", "mnist_rnn_sgd")):
        metrics = {"train": {"loss": [0.5], "accuracy": [0.5], "sequence_accuracy": [0.5]}}
        write_result_by_hand(Path("outputs/mnist") / name, metrics, cfg, experiment=experiment)
    assert selection.default_network("reader").path.name == "older"
    assert selection.default_network("report") is None


def test_an_answer_that_the_end_of_the_server_cuts_short_is_no_fault():
    async def receive():
        return {"type": "http.request", "body": b"photo"}

    async def cut_short():
        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        answer = asyncio.create_task(Queue().answer(request, 10, lambda body: time.sleep(0.5) or {}))
        await asyncio.sleep(0.2)
        answer.cancel()
        await answer

    with pytest.raises(HTTPException, match="503: the page has been ended"):
        asyncio.run(cut_short())


@pytest.fixture
def running_page(workplace):
    """The page of the command, as a process, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    words = [sys.executable, "-m", "rnn_tasks.draw", "--no-browser", "--port", address.rpartition(":")[2]]
    signals = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # ignored in the background
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **signals) as running:
        while not (line := running.stderr.readline()).startswith("http"):
            assert line, running.wait()
        assert line == f"{address} (Ctrl-C ends)\n"
        yield running, address
        running.kill()


def test_command_serves_until_ctrl_c(running_page):
    running, address = running_page
    assert b"Draw a digit" in urllib.request.urlopen(address, timeout=20).read()
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130 and running.stderr.read() == "stopped\n"


@pytest.mark.slow
def test_ctrl_c_ends_the_page_while_it_reads_a_photo(running_page):
    running, address = running_page
    photo = Image.new("L", (4000, 3000), 255)
    draw_on = ImageDraw.Draw(photo)
    for x, y in product(range(10, 4000, 50), range(10, 3000, 50)):  # thousands of signs take seconds
        draw_on.line([(x, y), (x + 20, y + 30)], fill=0, width=4)
    photo.save(body := io.BytesIO(), "PNG")
    request = urllib.request.Request(f"{address}/photo", body.getvalue(), {"Origin": address})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(urllib.request.urlopen, request)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130 and running.stderr.read() == "stopped\n"
        answer.exception()
