"""Hydra's launchers and sweepers, which come in packages of their own."""

from importlib.util import find_spec

from hydra.conf import HydraConf

from rnn_tasks.errors import UserError

# What the classes come in: the package, and the extra of this project that installs it.
PACKAGES = {
    "hydra_plugins.hydra_joblib_launcher": ("hydra-joblib-launcher", "joblib"),
    "hydra_plugins.hydra_submitit_launcher": ("hydra-submitit-launcher", "slurm"),
    "hydra_plugins.hydra_ray_launcher": ("hydra-ray-launcher", "ray"),
    "hydra_plugins.hydra_optuna_sweeper": ("hydra-optuna-sweeper", "optuna"),
}
GROUPS = ("launcher", "sweeper")
BASIC = "basic"  # the option of both that comes with Hydra
HERE = (BASIC, "stacked")  # options that start no other processes


def chosen(hydra: HydraConf, group: str) -> str:
    """Return the option chosen of a group of GROUPS."""
    return str(hydra.runtime.choices.get(f"hydra/{group}", BASIC))


def require_packages(hydra: HydraConf) -> None:
    """Check that the packages of the chosen launcher and sweeper are installed.

    Raises:
        UserError: one is missing.
    """
    for group in GROUPS:
        part = getattr(hydra, group)
        module = str(part.get("through") or part._target_).rpartition(".")[0].rpartition(".")[0]
        if module in PACKAGES and not _is_installed(module):
            package, extra = PACKAGES[module]
            option = chosen(hydra, group)
            raise UserError(f"hydra/{group}={option}: needs {package}; pip install 'rnn-tasks[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # no plugin at all
        return False
