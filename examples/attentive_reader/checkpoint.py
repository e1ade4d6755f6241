"""A run on disk: one npz with the settings, parameters, optimizer, epoch and history."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from data import Vocabulary

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Settings:
    """What decides a run; everything random is drawn from `seed` and the epoch."""

    variant: str = "bn-e**"
    data: str = ""
    units: int = 64
    batch_size: int = 64
    learning_rate: float = 5e-3
    dropout: float = 0.3
    clip: float = 10.0
    epochs: int = 12
    patience: int = 4
    longest: int = 150
    min_count: int = 2
    estimate_batches: int = 20
    seed: int = 0
    quick: bool = False


@dataclass
class Run:
    """Where a training run stands after an epoch; `best` are the parameters to evaluate."""

    settings: Settings
    vocabulary: Vocabulary
    parameters: Arrays
    optimizer: Arrays = field(default_factory=dict)
    best: Arrays = field(default_factory=dict)
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def file_name(variant: str) -> str:
    """The name of a variant without the stars that shells expand."""
    return variant.replace("*", "-star") + ".npz"


def population_path(checkpoint: Path) -> Path:
    """The population statistics lie beside their checkpoint."""
    return checkpoint.with_suffix(".population.npz")


def save_run(path: Path, run: Run) -> None:
    """Write the run; a crash while writing leaves the former file."""
    groups = {"parameters": run.parameters, "optimizer": run.optimizer, "best": run.best}
    arrays = {f"{group}/{name}": a for group, named in groups.items() for name, a in named.items()}
    facts = {
        "settings": asdict(run.settings),
        "n_entities": run.vocabulary.n_entities,
        "epoch": run.epoch,
        "history": run.history,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, facts=json.dumps(facts), words=np.array(run.vocabulary.words), **arrays)
    partial.replace(path)


def load_run(path: Path) -> Run:
    """Read what `save_run` wrote."""
    with np.load(path) as archive:
        facts = json.loads(str(archive["facts"]))
        groups: dict[str, Arrays] = {"parameters": {}, "optimizer": {}, "best": {}}
        for key in archive.files:
            group, _, name = key.partition("/")
            if group in groups:
                groups[group][name] = archive[key]
        vocabulary = Vocabulary(facts["n_entities"], tuple(archive["words"].tolist()))
    settings = Settings(**facts["settings"])
    return Run(settings, vocabulary, epoch=facts["epoch"], history=facts["history"], **groups)
