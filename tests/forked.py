"""Commands of the project in processes of their own that start fast.

The processes are forked from a server that has imported Lightning, which saves the seconds that importing takes each
time. Tests of start-up itself begin a new interpreter instead.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["rnn_tasks.training.session", "rnn_tasks.runs.outcome", "rnn_tasks.runs.loading"])


def command(module, *words, cwd="."):
    """Run a command of the project as a person would and return the ended process."""
    return start(module, *words, cwd=cwd).wait(120)


def start(module, *words, cwd="."):
    """Start a command of the project."""
    return Started(module, words, cwd)


class Started:
    def __init__(self, module, words, cwd):
        self.words = [module, *words]
        self.place = tempfile.TemporaryDirectory()
        self.streams = [Path(self.place.name, name) for name in ("stdout", "stderr")]
        target = (module, words, str(Path(cwd).resolve()), dict(os.environ), self.streams)
        self.process = SERVER.Process(target=_run_as_main, args=target)
        self.process.start()

    def send_signal(self, signum):
        os.kill(self.process.pid, signum)

    def poll(self):
        """The exit status, negative after a signal; None while it runs."""
        return self.process.exitcode

    def wait(self, timeout):
        """Return the ended process with what it printed; TimeoutError, and the end of it, after some seconds."""
        self.process.join(timeout)
        if self.poll() is None:
            self.process.kill()
            raise TimeoutError(f"{' '.join(map(str, self.words))} did not end within {timeout} seconds")
        texts = [stream.read_text(encoding="utf-8") if stream.exists() else "" for stream in self.streams]
        return subprocess.CompletedProcess(self.words, self.poll(), *texts)


def _run_as_main(module, words, cwd, environment, streams):
    """What `python -m rnn_tasks.MODULE WORDS` does, in a forked process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate([os.devnull, *streams]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    sys.argv = [module, *words]
    sys.path.insert(0, cwd)
    sys.modules.pop(f"rnn_tasks.{module}", None)  # runpy warns when it is already imported
    runpy.run_module(f"rnn_tasks.{module}", run_name="__main__", alter_sys=True)
