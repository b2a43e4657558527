"""A few rounds of tests/torture.py, which ``make torture`` does by the hundred."""

import pytest
from torture import KINDS, disturbed, undisturbed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """For each kind the directory of an undisturbed run and its seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place := tmp_path_factory.mktemp("torture"))
        return {kind: undisturbed(kind, place) for kind in KINDS}


@pytest.mark.parametrize("number", range(5))
def test_disturbed_run_ends_as_an_undisturbed_one(tmp_path, monkeypatch, whole, number):
    monkeypatch.chdir(tmp_path)
    kind = list(KINDS)[number % len(KINDS)]
    assert disturbed(number, kind, tmp_path, *whole[kind])
