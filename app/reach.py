"""What the page can't train here: data that are absent, or more runs than a step has time for."""

from __future__ import annotations

from app.experiment import Experiment
from demo_models.published import DataError, found
from demo_models.scenario import FROM_FILES


def out_of_reach(experiment: Experiment) -> str:
    """Why the page can't train an experiment, in a sentence; "" where it can.

    Loads no torch and reads no data: a damaged archive is found when it is read, by the trainer.

    Args:
        experiment: as a person or a link asks for it.
    """
    scenario = experiment.problem
    if scenario.data in FROM_FILES:
        try:
            found(scenario.data)
        except DataError as error:
            return str(error)
    runs, most = len(experiment.lanes) * experiment.seeds, scenario.most_runs
    if most is not None and runs > most:
        return (
            f"{len(experiment.lanes)} optimizers under {experiment.seeds} seeds are {runs} runs; "
            f"expected at most {most} on the page with this scenario: choose fewer seeds or "
            "optimizers, or compare them on the command line with `python -m app compare`."
        )
    return ""
