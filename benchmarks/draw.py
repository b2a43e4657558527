"""How long an answer to a drawing takes, on one core: ``python -m benchmarks.draw``.

Drawings of one digit and of three digits are sent to the server as the page sends them, one after the other.
``work`` is the time in which the digits are found and read, as the server reports it. ``answer`` is the time from the
request to the parsed answer, over HTTP on this computer. ``processor`` is the CPU time of both ends, without what other
programs took of the core.
"""

import json
import os
import statistics
import threading
import time
import urllib.request
from itertools import pairwise

import torch
from tabulate import tabulate

from rnn_tasks.page import server
from rnn_tasks.page.app import app
from rnn_tasks.page.selection import default_network

ROUNDS = 300
PAUSE = 0.02  # seconds between two drawings
SEVEN = [[250, 120, 480, 125, 520, 130, 470, 260, 420, 400, 390, 520]]
FOUR_ZERO_SEVEN = [
    [110, 100, 60, 330, 210, 335], [180, 210, 165, 520],
    [420, 110, 360, 150, 330, 290, 345, 430, 410, 510, 470, 430, 490, 290, 470, 160, 420, 110],
    [580, 120, 740, 125, 690, 300, 650, 520],
]  # fmt: skip


def smooth(stroke, step=4):
    """A stroke with as many points as a slow hand leaves, at most ``step`` units of the canvas apart."""
    points, dense = list(zip(stroke[::2], stroke[1::2], strict=True)), []
    for (x, y), (to_x, to_y) in pairwise(points):
        count = max(1, round(((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5 / step))
        dense += [(x + (to_x - x) * i / count, y + (to_y - y) * i / count) for i in range(count)]
    return [round(value) for point in [*dense, points[-1]] for value in point]


def measure(address, strokes):
    """Milliseconds of the work, the answer and the processor, [ROUNDS] each; the first 5 answers are not counted."""
    body = json.dumps({"strokes": [smooth(stroke) for stroke in strokes]}).encode()
    times = {"work": [], "answer": [], "processor": []}
    for _ in range(ROUNDS + 5):
        time.sleep(PAUSE)
        start, cpu_start = time.perf_counter(), time.process_time()
        request = urllib.request.Request(f"{address}/drawing", body, {"Origin": address})
        answer = json.load(urllib.request.urlopen(request))
        times["answer"].append(1000 * (time.perf_counter() - start))
        times["processor"].append(1000 * (time.process_time() - cpu_start))
        times["work"].append(answer["milliseconds"])
    return {part: values[5:] for part, values in times.items()}


def main():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    listening = server.listen()
    page = app(default_network("reader"), default_network("report"))
    threading.Thread(target=server.server(page).run, args=([listening],), daemon=True).start()
    address = server.address(listening)
    rows = []
    for name, strokes in (("one digit", SEVEN), ("three digits", FOUR_ZERO_SEVEN)):
        for part, times in measure(address, strokes).items():
            cuts = statistics.quantiles(times, n=100)
            rows.append([name, part, statistics.median(times), cuts[94], max(times)])
    print(f"load {os.getloadavg()[0]:.1f}, one core, {ROUNDS} drawings each")
    print(tabulate(rows, ["drawing", "ms of", "p50", "p95", "max"], tablefmt="pipe", floatfmt=".1f"))


if __name__ == "__main__":
    main()
