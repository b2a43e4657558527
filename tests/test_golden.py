"""The numbers of a run stay what they are unless the version of the numerics says otherwise."""

import json

import golden
import pytest

from rnn_tasks.runs import identity

pytestmark = pytest.mark.usefixtures("no_pictures")
KEPT = json.loads(golden.FILE.read_text())


def test_the_losses_belong_to_this_version_of_the_numerics():
    assert KEPT["numerics"] == identity.NUMERICS
    assert KEPT["losses"].keys() == golden.CASES.keys()


@pytest.mark.parametrize("case", golden.CASES)
def test_losses_of_twenty_steps(case, tmp_path, request):
    if case.startswith("mnist"):
        request.getfixturevalue("mnist")
    found = golden.losses(golden.CASES[case], tmp_path)
    for split, expected in KEPT["losses"][case].items():
        assert found[split] == pytest.approx(expected, rel=1e-6, abs=1e-9), split
