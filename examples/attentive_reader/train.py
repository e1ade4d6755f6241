"""Train an Attentive Reader: `python train.py --variant "bn-e**"`, or `--data DIR` for own text.

Writes a checkpoint after each epoch, from which `--resume` goes on. In the end prints accuracies
under batch and under population statistics, and draws pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))  # where `backend` is

import numpy as np
from batches import Batch
from evaluate import Judge, format_table, make_rows, score
from model import Reader, flags
from parameters import adam, clip_by_norm, init_parameters
from pictures import draw_pictures
from runs import (
    VARIANTS,
    Problem,
    Run,
    Settings,
    describe,
    file_name,
    load_problem,
    load_run,
    population_path,
    save_run,
)
from tqdm import tqdm

from backend import Noise, at, engine, graph_inputs

QUICK = {"units": 8, "batch_size": 16, "epochs": 2, "estimate_batches": 4}


class Trainer:
    """The compiled training step of a run, and the arrays that it changes."""

    def __init__(self, run: Run) -> None:
        settings = run.settings
        self.seed = settings.seed
        self.parameters = {name: engine.shared(v, name) for name, v in run.parameters.items()}
        self.noise = Noise(settings.seed)
        variant = VARIANTS[settings.variant]
        graph = Reader(variant, self.parameters, settings.dropout, self.noise).build()
        trained = [p for p in self.parameters.values() if p in graph_inputs([graph.loss])]
        gradients = clip_by_norm(engine.grad(graph.loss, trained), settings.clip)
        updates, self.optimizer = adam(trained, gradients, settings.learning_rate)
        for name, value in run.optimizer.items():
            self.optimizer[name].set_value(value)
        right = at.eq(graph.scores.argmax(axis=1), graph.inputs["answer"]).sum()
        self.step = engine.function(
            list(graph.inputs.values()), [graph.loss, right], updates=updates + self.noise.updates
        )

    def train(self, batches: list[Batch], epoch: int) -> dict[str, float]:
        """One epoch; its dropout depends on the seed and the epoch only."""
        self.noise.seed([self.seed, epoch])
        loss = right = seen = 0.0
        bar = tqdm(batches, desc=f"epoch {epoch + 1}", leave=False)
        for n_done, batch in enumerate(bar, start=1):
            batch_loss, batch_right = self.step(**batch)
            loss, right = loss + float(batch_loss), right + int(batch_right)
            seen += len(batch["answer"])
            bar.set_postfix(loss=f"{loss / n_done:.3f}", accuracy=f"{right / seen:.3f}")
        return {"train loss": loss / len(batches), "train accuracy": right / seen}

    def save_into(self, run: Run) -> None:
        """Bring parameters and optimizer of the run up to date."""
        run.parameters = {name: p.get_value() for name, p in self.parameters.items()}
        run.optimizer = {name: value.get_value() for name, value in self.optimizer.items()}


def fit(run: Run, problem: Problem, trainer: Trainer, judge: Judge, path: Path) -> None:
    """Train until the validation loss has not fallen for `patience` epochs."""
    settings = run.settings
    some = problem.estimation_batches()[: settings.estimate_batches]
    valid = problem.evaluation_batches("valid")
    while run.epoch < settings.epochs and not is_stuck(run):
        start = time.perf_counter()
        facts = trainer.train(problem.training_batches(run.epoch), run.epoch)
        judge.estimate(some)
        result = score(judge.predict, valid)
        facts |= {"valid loss": result.loss, "valid accuracy": result.accuracy}
        run.history.append(facts | {"seconds": time.perf_counter() - start})
        run.epoch += 1
        trainer.save_into(run)
        if best_epoch(run) == run.epoch:
            run.best = run.parameters
        save_run(path, run)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in run.history[-1].items())
        print(f"epoch {run.epoch}: {shown}", flush=True)


def best_epoch(run: Run) -> int:
    """The epoch, from 1, with the lowest validation loss."""
    return int(np.argmin([facts["valid loss"] for facts in run.history])) + 1


def is_stuck(run: Run) -> bool:
    """Whether the best epoch is `patience` epochs ago."""
    return bool(run.history) and run.epoch - best_epoch(run) >= run.settings.patience


def start_run(options: argparse.Namespace, path: Path) -> tuple[Run, Problem]:
    """A new run, or the one of the checkpoint with perhaps more epochs to go."""
    if options.resume and path.exists():
        run = load_run(path)
        run.settings = replace(run.settings, epochs=options.epochs)
        return run, load_problem(run.settings, run.vocabulary)
    settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    problem = load_problem(settings)
    vocabulary = problem.vocabulary
    sizes = vocabulary.size, vocabulary.n_entities, settings.units
    return Run(settings, vocabulary, init_parameters(*sizes, settings.seed)), problem


def finish(run: Run, problem: Problem, trainer: Trainer, judge: Judge, path: Path) -> None:
    """Estimate the population of the best parameters from all training batches; show it all."""
    for name, value in run.best.items():
        trainer.parameters[name].set_value(value)
    population = judge.estimate(problem.estimation_batches(), progress=True)
    if population is not None:
        population.save(population_path(path))
    print(f"best epoch: {best_epoch(run)}")
    print(format_table(make_rows(judge, problem, population), problem))
    for picture in draw_pictures(path.parent, run, judge, problem, population):
        print(picture)


def parse_options() -> argparse.Namespace:
    """Every setting is an option; `--quick` has other defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, for a first look and for CI")
    quick = parser.parse_known_args()[0].quick
    defaults = asdict(Settings()) | (QUICK if quick else {})
    for name, value in defaults.items():
        if name != "quick":
            choices = list(VARIANTS) if name == "variant" else None
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=type(value), default=value, choices=choices)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for what is written")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    path = options.out / file_name(options.variant)
    run, problem = start_run(options, path)
    print(describe(problem))
    with flags(run.settings.quick):
        trainer = Trainer(run)
        judge = Judge(run.settings.variant, trainer.parameters)
        fit(run, problem, trainer, judge, path)
        finish(run, problem, trainer, judge, path)


if __name__ == "__main__":
    main()
