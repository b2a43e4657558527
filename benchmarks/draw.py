"""How long an answer to a drawing takes, on one core: ``python -m benchmarks.draw``.

Drawings of one digit (and of three) are sent to the server as the page sends them, one after the other. ``work`` is the
reading alone, as the page is told it, ``answer`` all from the request to the parsed answer, over HTTP on this computer;
``processor`` is the time that both ends of it computed, without what other programs took of the core.
"""

import json
import os
import statistics
import threading
import time
import urllib.request
from itertools import pairwise

import torch
import uvicorn
from tabulate import tabulate

from rnn_tasks.draw import listening, usual
from rnn_tasks.page.app import EXPERIMENTS, RATE, app

ROUNDS = 300
SEVEN = [[250, 120, 480, 125, 520, 130, 470, 260, 420, 400, 390, 520]]
FOUR_NOUGHT_SEVEN = [
    [110, 100, 60, 330, 210, 335], [180, 210, 165, 520],
    [420, 110, 360, 150, 330, 290, 345, 430, 410, 510, 470, 430, 490, 290, 470, 160, 420, 110],
    [580, 120, 740, 125, 690, 300, 650, 520],
]  # fmt: skip


def smooth(stroke, step=4):
    """The points that a slow hand leaves between those of a stroke."""
    points, found = list(zip(stroke[::2], stroke[1::2], strict=True)), []
    for (x, y), (to_x, to_y) in pairwise(points):
        count = max(1, round(((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5 / step))
        found += [(x + (to_x - x) * i / count, y + (to_y - y) * i / count) for i in range(count)]
    return [round(value) for point in [*found, points[-1]] for value in point]


def measure(address, strokes):
    """Milliseconds of the work, of the whole answer and of the processor, each of ROUNDS drawings."""
    body = json.dumps({"strokes": [smooth(stroke) for stroke in strokes]}).encode()
    times = {"work": [], "answer": [], "processor": []}
    for _ in range(ROUNDS + 5):
        time.sleep(1 / RATE)
        begun, computed = time.perf_counter(), time.process_time()
        request = urllib.request.Request(f"{address}/drawing", body, {"Origin": address})
        said = json.load(urllib.request.urlopen(request))
        times["answer"].append(1000 * (time.perf_counter() - begun))
        times["processor"].append(1000 * (time.process_time() - computed))
        times["work"].append(said["milliseconds"])
    return {part: found[5:] for part, found in times.items()}


def main():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    opened = listening(None)
    page = app(usual("handwriting", EXPERIMENTS["reader"]), usual("report", EXPERIMENTS["report"]))
    server = uvicorn.Server(uvicorn.Config(page, log_level="warning", ws="none", lifespan="off"))
    threading.Thread(target=server.run, args=([opened],), daemon=True).start()
    address = f"http://127.0.0.1:{opened.getsockname()[1]}"
    rows = []
    for name, strokes in (("one digit", SEVEN), ("three digits", FOUR_NOUGHT_SEVEN)):
        for part, times in measure(address, strokes).items():
            cuts = statistics.quantiles(times, n=100)
            rows.append([name, part, statistics.median(times), cuts[94], max(times)])
    print(f"load {os.getloadavg()[0]:.1f}, one core, {ROUNDS} drawings each")
    print(tabulate(rows, ["drawing", "ms of", "p50", "p95", "most"], tablefmt="pipe", floatfmt=".1f"))


if __name__ == "__main__":
    main()
