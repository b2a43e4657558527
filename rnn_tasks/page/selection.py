"""Which two networks the page compares, and what it says about them."""

from pathlib import Path

from rnn_tasks import runs
from rnn_tasks.errors import UserError

EXPERIMENTS = {"reader": "mnist_handwriting", "report": "mnist_lstm_sgd"}
TITLES = {"reader": "Trained for handwriting", "report": "The report's best"}
PRETRAINED = {"reader": "handwriting", "report": "report"}


def load_reader(run: str | Path, trust: bool = False) -> runs.Run:
    """Return a run that reads digits.

    Args:
        run: a run directory, "latest", or the name of a task.
        trust: see runs.load.

    Raises:
        UserError: the run reads no digits, does not exist or is damaged.
    """
    loaded = runs.load(run, trust=trust)
    if not loaded.task.reads_photos:
        raise UserError(
            f"{run}: reads no photos of digits, its task is {loaded.task.name}; give a run of task=mnist task.read=rows"
        )
    return loaded


def default_network(name: str) -> runs.Run | None:
    """Return the network that comes with the project, else the newest finished run of its experiment, else None.

    Args:
        name: "reader" or "report".
    """
    if (pretrained := runs.PRETRAINED / PRETRAINED[name]).is_dir():
        return load_reader(pretrained)
    for path, result in runs.results():
        if result and result.get("experiment") == EXPERIMENTS[name]:
            return load_reader(path)
    return None


def training_command(name: str) -> str:
    """Return the command that trains the network "reader" or "report"."""
    return f"python -m rnn_tasks.train experiment={EXPERIMENTS[name]}"


def describe(name: str, run: runs.Run | None) -> dict[str, str | None]:
    """Return what the page says about a network.

    Returns:
        ``title``; ``about``, one line on the network; and where the network is missing, instead, the command to
        ``train`` it.
    """
    if run is None:
        return {"title": TITLES[name], "about": None, "train": training_command(name)}
    about = [run.config.get("experiment") or run.path.name]
    if hasattr(run.model, "description"):
        about.append(str(run.model.description))
    if run.config.loss.get("label_smoothing"):
        about.append("label smoothing makes it less confident")
    if run.result and run.replicate is not None and (test := run.result["metrics"].get("test")):
        about.append(f"right on {100 * test['accuracy'][run.replicate]:.2f}\N{NO-BREAK SPACE}% of MNIST's test images")
    return {"title": TITLES[name], "about": "; ".join(about), "train": None}
