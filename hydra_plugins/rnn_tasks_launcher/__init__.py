"""Hydra takes launchers from packages of this folder alone."""
