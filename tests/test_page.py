"""The server of the page on which one draws: what it answers, what it refuses."""

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
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import picture, trained
from PIL import Image
from strokes import sent, written

from rnn_tasks import config, draw, runs
from rnn_tasks.page import app as server
from rnn_tasks.page.networks import Networks

HOST = "127.0.0.1:8000"
FILES = ["/", "/page.css", "/page.js", "/icon.svg", "/networks"]


def untrained():
    """A run of a small network with its first weights."""
    cfg = config.compose(["task=mnist", "model.hidden=4", "seed=1"])
    task, model = config.build(cfg)
    return runs.Run(Path("small"), cfg, task, model.eval(), 0, [False], None)


@pytest.fixture(scope="module")
def networks():
    return untrained(), untrained()


@pytest.fixture
def client(networks):
    return Client(*networks)


class Client:
    """Asks the page's server, without a network between."""

    def __init__(self, *networks):
        self.app = server.app(*networks)

    def get(self, path, **headers):
        return asyncio.run(self.ask("GET", path, [b""], **headers))

    def post(self, path, sent, **headers):
        content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        return asyncio.run(self.ask("POST", path, [content], **headers))

    async def ask(self, method, path, parts, wait=0.0, host=HOST, origin=f"http://{HOST}"):
        """Send a body in parts, ``wait`` seconds before each."""
        left, messages = list(parts), []

        async def receive():
            await asyncio.sleep(wait)
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message):
            messages.append(message)

        given = {"host": host, "origin": origin}
        scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "scheme": "http", "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
        }  # fmt: skip
        with suppress(ZeroDivisionError):  # told, then raised again for the terminal
            await self.app(scope, receive, send)
        content = b"".join(message["body"] for message in messages[1:])
        headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        return Reply(messages[0]["status"], headers, content, len(parts) - len(left))


class Reply(NamedTuple):
    """An answer, and how many parts of the body were taken."""

    status: int
    headers: dict[str, str]
    content: bytes
    taken: int

    def json(self):
        return json.loads(self.content)


def drawing(number, **values):
    return {"strokes": sent(written(number)), **values}


def refused(reply, status, words=""):
    """Whether it is refused in one line."""
    assert reply.status == status
    (reason,) = reply.json().values()
    assert reply.json().keys() == {"error"} and words in reason and "\n" not in reason and len(reason) < 200
    return True


def test_one_drawn_digit(client):
    said = client.post("/drawing", drawing("7")).json()
    (digit,) = said["digits"]
    assert np.shape(said["steps"]["reader"]) == np.shape(said["steps"]["report"]) == (28, 10)
    for name in ("reader", "report"):
        assert np.allclose(np.sum(said["steps"][name], 1), 1, atol=1e-3)
        assert np.allclose(said["steps"][name][-1], digit["answers"][name], atol=2e-4)  # the whole image
    assert said["milliseconds"] > 0 and said["picked"] == 0


def test_several_digits_stand_in_lines_from_left_to_right(client):
    said = client.post("/drawing", drawing("407", pick=2)).json()
    lefts = [digit["box"][0] for digit in said["digits"]]
    assert len(lefts) == 3 and lefts == sorted(lefts) and said["picked"] == 2
    assert [digit["line"] for digit in said["digits"]] == [0, 0, 0]
    width, height = said["size"]
    boxes = [digit["box"] for digit in said["digits"]]
    assert all(0 <= a < c <= width and 0 <= b < d <= height for a, b, c, d in boxes)
    first = client.post("/drawing", drawing("40", pick=2)).json()
    assert first["picked"] == 0


def test_a_single_image_unfolds_as_in_the_drawing(client):
    said = client.post("/drawing", drawing("407", pick=1)).json()
    image = base64.b64decode(said["digits"][1]["image"])
    assert client.post("/image", image).json()["steps"] == said["steps"]
    refused(client.post("/image", image[1:]), 422, "784")
    refused(client.post("/image", image + b"0"), 413)


@pytest.mark.parametrize(
    "strokes", [[[400, 300]], [[200, 100, 500, 102]], [[10, 10, 12, 620]], [[0, 0, 840, 630]] * 40]
)
def test_whatever_is_drawn_is_read(client, strokes):
    assert len(client.post("/drawing", {"strokes": strokes}).json()["digits"]) == 1


@pytest.mark.parametrize("strokes", [[], [[-500, -500]], [[5000, 5000, 6000, 6000]]])
def test_nothing_drawn(client, strokes):
    assert refused(client.post("/drawing", {"strokes": strokes}), 422, "nothing is drawn")


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
def test_what_is_no_drawing(client, content):
    assert refused(client.post("/drawing", content), 400, "no drawing like")


def test_photo(client):
    said = client.post("/photo", picture("25")).json()
    assert said["size"] == [280, 210] and len(said["digits"]) == 2


@pytest.mark.parametrize("content", [b"", b"no picture", picture("1")[:300]])
def test_what_is_no_photo(client, content):
    assert refused(client.post("/photo", content), 422)


def test_photo_without_digits(client):
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(file, "PNG")
    assert refused(client.post("/photo", file.getvalue()), 422, "no digit")


def test_of_a_network_that_is_not_there_nothing_is_said(networks):
    half = Client(networks[0], None)
    said = half.post("/drawing", drawing("3")).json()
    assert said["steps"]["report"] is None and said["digits"][0]["answers"]["report"] is None
    assert len(said["steps"]["reader"]) == 28
    told = half.get("/networks").json()["networks"]
    assert told["reader"]["train"] is None and "experiment=mnist_lstm_sgd" in told["report"]["train"]


def test_without_networks_the_page_tells_how_to_train_one():
    bare = Client(None, None)
    assert bare.get("/").status == 200
    assert "experiment=mnist_handwriting" in bare.get("/networks").json()["networks"]["reader"]["train"]
    assert refused(bare.post("/drawing", drawing("3")), 503, "experiment=mnist_handwriting")


@pytest.mark.parametrize("path", [*FILES, "/nothing", "/drawing"])
def test_headers_are_safe(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store" and "server" not in headers


def test_an_error_in_the_program_is_told_without_its_insides(monkeypatch):
    monkeypatch.setattr(Networks, "read_image", lambda *_: 1 / 0)
    reply = Client(untrained(), None).post("/image", bytes(784))
    assert refused(reply, 500, "something is wrong") and "content-security-policy" in reply.headers


@pytest.mark.parametrize(
    "path", ["/app.py", "/page.html", "/../app.py", "/%2e%2e/app.py", "/static/..%2f..%2fetc/passwd"]
)
def test_no_other_file_is_served(client, path):
    assert refused(client.get(path), 404)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[", "10.0.0.1:8000", "a@b:c"])
def test_other_names_of_this_computer_are_refused(client, host):
    assert refused(client.get("/", host=host), 421)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:9000", "LOCALHOST"])
def test_its_own_names_are_known(client, host):
    assert client.get("/", host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "https://127.0.0.1:8000"])
def test_other_pages_are_refused(client, origin):
    assert refused(client.post("/drawing", drawing("1"), origin=origin), 403)


def test_requests_without_an_origin_are_refused(networks):
    assert refused(Client(*networks).post("/drawing", drawing("1"), origin=None), 403)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(client, method):
    assert refused(asyncio.run(client.ask(method, "/drawing", [b""])), 405)


@pytest.mark.parametrize(("path", "most"), [("/drawing", server.LARGEST_DRAWING), ("/photo", server.LARGEST_PHOTO)])
def test_a_body_is_refused_as_soon_as_it_is_too_large(client, path, most):
    reply = asyncio.run(client.ask("POST", path, [bytes(most // 10)] * 100))
    assert refused(reply, 413, f"{most:,} bytes") and reply.taken == 11


def test_a_body_that_does_not_come_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(server, "SLOWEST_BODY", 0.05)
    reply = asyncio.run(client.ask("POST", "/drawing", [b"{", b"}"], wait=0.04))
    assert refused(reply, 408, "seconds")


def test_few_wait(client):
    async def at_once():
        parts = [json.dumps(drawing("1")).encode()]
        asked = [client.ask("POST", "/drawing", parts, wait=0.05) for _ in range(server.MOST_WAITING + 2)]
        return await asyncio.gather(*asked)

    statuses = [reply.status for reply in asyncio.run(at_once())]
    assert sorted(statuses) == [200] * server.MOST_WAITING + [503] * 2


def test_much_work_at_once_is_refused_and_later_done(client, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(server.time, "monotonic", lambda: now)
    image = bytes(784)
    assert {client.post("/image", image).status for _ in range(server.BURST)} == {200}
    reply = client.post("/image", image)
    assert refused(reply, 429, "too much") and reply.headers["retry-after"] == "1"
    now += 1.1 / server.RATE
    assert client.post("/image", image).status == 200
    assert client.post("/photo", b"").status == 429  # counts for more


def test_the_page_asks_no_other_host():
    for path in Path(server.__file__).parent.glob("page.*"):
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
        for one in served:
            one.close()
        return ended.value.code or 0, *capsys.readouterr(), served

    return call


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["missing"], "missing: no such run"),
        (["adder"], "reads no digits, its task is adder"),
        (["broken"], "config.yaml: is damaged"),
        (["--port", "0"], "no port"),
        (["--port", "x"], "no port"),
    ],
)
def test_what_cannot_be_read_with_is_told_in_one_line(call, workplace, words, reason):
    if words == ["adder"]:
        trained("outputs/adder/one", "task=adder", "trainer.max_epochs=1")
    Path("broken").mkdir()
    Path("broken/config.yaml").write_text("a: [")
    status, out, error, served = call(*words)
    assert status == 2 and out == "" and error.count("\n") == 1 and reason in error and not served


def test_port_in_use(call, workplace, monkeypatch):
    monkeypatch.setattr(draw, "PORT", 18500)  # where no other test that runs beside this one listens
    with draw.listening(None) as taken:
        port = taken.getsockname()[1]
        status, _, error, served = call("--port", str(port))
        assert status == 2 and error.startswith(f"error: --port {port}: ") and error.count("\n") == 1 and not served
        with draw.listening(None) as next_one:
            assert next_one.getsockname() > taken.getsockname() and next_one.getsockname()[0] == "127.0.0.1"


def test_without_networks_the_command_serves_the_page(call, workplace, monkeypatch):
    monkeypatch.setattr(runs, "PRETRAINED", Path("none"))
    status, _, error, served = call()
    assert status == 0 and error.startswith("http://127.0.0.1:") and len(served) == 1


def test_ones_own_run_is_read_with_where_none_comes_with_the_project(workplace, monkeypatch):
    monkeypatch.setattr(runs, "PRETRAINED", Path("none"))
    loaded = untrained()
    monkeypatch.setattr(runs, "load", lambda path: setattr(loaded, "path", Path(path)) or loaded)
    for name, experiment in (("older", "mnist_handwriting"), ("other", "mnist_rnn_sgd")):
        (Path("outputs/mnist") / name).mkdir(parents=True)
        result = {"metrics": {"train": {}}, "parameters": 1, "seconds": 1, "experiment": experiment}
        (Path("outputs/mnist") / name / "result.json").write_text(json.dumps(result))
    assert draw.usual("handwriting", "mnist_handwriting").path.name == "older"
    assert draw.usual("report", "mnist_lstm_sgd") is None


def test_it_serves_until_ctrl_c(workplace):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "rnn_tasks.draw", "--no-browser", "--port", str(port)]
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # also where tests run in background
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **heard) as running:
        while not (line := running.stderr.readline()).startswith("http"):
            assert line, running.wait()
        assert line == f"http://127.0.0.1:{port} (Ctrl-C ends)\n"
        assert b"Draw a digit" in urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=20).read()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130 and running.stderr.read() == "stopped\n"
