"""Verification cases: some test problems, what a network answered, and what is right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tabulate import tabulate
from torch import Tensor, nn

from rnn_tasks.runs.plots import Picture
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import Task
from rnn_tasks.training.scoring import forward_replicates

RANDOM_CASES, FAILED_CASES, TRIED_CASES = 10, 5, 200


@dataclass(frozen=True)
class Case:
    """A problem with the answer of a network.

    Attributes:
        picture: [height, width], where the problem is an image.
        problem, answer, target: as people write them.
        right: whether the whole answer is right.
    """

    picture: Tensor
    problem: str
    answer: str
    target: str
    right: bool

    @property
    def is_picture(self) -> bool:
        """Whether the problem is an image, which people do not write in one line."""
        return "\n" in self.problem


def verification_cases(task: Task, model: nn.Module, replicate: int = 0) -> list[Case]:
    """Return ten random test problems, and up to five further ones that the network fails, always the same."""
    task.setup()
    model.eval()
    stream, parameter = generator(task.data_seed, "cases"), next(model.parameters())
    cases, failed = [], 0
    for number in range(TRIED_CASES):
        examples = task.test[int(torch.randint(len(task.test), (1,), generator=stream))]
        batch = examples[torch.randint(len(examples), (1,), generator=stream)]
        moved = batch._replace(inputs=batch.inputs.to(parameter), lengths=batch.lengths.to(parameter.device))
        with torch.inference_mode():
            logits = forward_replicates(model, moved, form=task.format)[replicate, 0].cpu()
        asked = ... if batch.asked is None else batch.asked[0]
        answer, target = task.format.answers(logits)[asked], batch.targets[0][asked]
        right = bool(task.format.right(logits[asked], target).all())
        if number < RANDOM_CASES or (not right and failed < FAILED_CASES):
            failed += not right
            texts = task.write_input(batch.inputs[0]), task.write_answer(answer), task.write_answer(target)
            cases.append(Case(task.picture(batch.inputs[0]), *texts, right))
    return cases


def cases_table(cases: list[Case]) -> str:
    """Return the cases as a Markdown table; a picture is named by its number."""
    rows = [
        {
            "input": f"picture {number}" if case.is_picture else f"`{case.problem}`",
            "output": case.answer,
            "target": case.target,
            "": "right" if case.right else "**wrong**",
        }
        for number, case in enumerate(cases, 1)
    ]
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def case_pictures(cases: list[Case]) -> list[Picture]:
    """Return the cases as pictures, each under its number and answer, with the truth where that is wrong."""
    return [
        Picture(case.picture, f"{number}: {case.answer}" + ("" if case.right else f", not {case.target}"), case.right)
        for number, case in enumerate(cases, 1)
    ]
