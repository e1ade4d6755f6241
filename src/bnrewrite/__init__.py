"""Inference graphs for batch-normalized models in PyTensor and Aesara, statistics in loops too.

Batch normalization trains on statistics of the batch at hand, and must predict with statistics of
the population. In a recurrent model the batch statistics are computed inside loops (`Scan`), whose
bodies nobody outside can reach. This library reaches in.

1. **Mark.** While building an ordinary training graph, say what is a statistic of the batch:
   `batch_normalize` does it by itself, `mark_statistic` and `mark_moments` for what you compute
   yourself. Use what they return. Train as ever: marks cost nothing.
2. **Export.** Each loop with marks inside is built anew, so that it returns the statistics of
   all its steps as further outputs.
3. **Estimate.** This graph runs over batches of training data. Sequences may differ in length.
   Averages, and how sure they are, make a `Population`, which can be looked at, saved and merged.
4. **Replace.** The training graph is cloned with the population's values in the place of the
   batch's, inside loops too. The training graph itself is never changed.

`get_inference_graph` does all of it in one call:

    outputs = get_inference_graph(inputs, batch_outputs, estimation_batches)
    predict = pytensor.function(inputs, outputs)

`InferenceGraph` is for more: to estimate again after more training without compiling again, to
check that no batch statistic is left (`verify`), to compile a fast function (`compile`) and to ship
it (`save`, `load_predictor`), to save and load the population, or to estimate in many processes.
`export_statistics`, `estimate_population` and `replace_statistics` are the passes alone.
``python -m bnrewrite show``, ``plot`` and ``diff`` look at saved populations without a program.

Import this library before you build loops and compile functions: marks could be lost otherwise.
Whatever can't be rewritten raises, and names the loop, the cause and the way out.

`engine` says which one this is: ``"pytensor"`` on Python 3.12 and later, ``"aesara"`` before.
"""

from importlib.metadata import version as _version

from bnrewrite.cautions import FewElements as FewElements
from bnrewrite.cautions import Indistinguishable as Indistinguishable
from bnrewrite.cautions import LostTags as LostTags
from bnrewrite.cautions import NotChecked as NotChecked
from bnrewrite.cautions import OtherOrigin as OtherOrigin
from bnrewrite.cautions import StaleStatistics as StaleStatistics
from bnrewrite.cautions import UnmarkedStatistic as UnmarkedStatistic
from bnrewrite.estimation.estimate import estimate_population as estimate_population
from bnrewrite.estimation.shards import ShardError as ShardError
from bnrewrite.estimation.stopped import EstimateError as EstimateError
from bnrewrite.estimation.stopped import EstimateInterrupted as EstimateInterrupted
from bnrewrite.graph.engine import NAME as engine
from bnrewrite.graph.export import export_statistics as export_statistics
from bnrewrite.graph.fast import fast_compilation as fast_compilation
from bnrewrite.graph.hooks import install as _install
from bnrewrite.graph.marking import mark_moments as mark_moments
from bnrewrite.graph.marking import mark_statistic as mark_statistic
from bnrewrite.graph.replace import replace_statistics as replace_statistics
from bnrewrite.graph.statistics import Statistic as Statistic
from bnrewrite.inference import InferenceGraph as InferenceGraph
from bnrewrite.inference import get_inference_graph as get_inference_graph
from bnrewrite.normalization import batch_normalize as batch_normalize
from bnrewrite.population.population import Population as Population
from bnrewrite.predictor import Predictor as Predictor
from bnrewrite.report.plots import plot_population as plot_population
from bnrewrite.shipping import load_predictor as load_predictor

__all__ = [
    "EstimateError",
    "EstimateInterrupted",
    "FewElements",
    "Indistinguishable",
    "InferenceGraph",
    "LostTags",
    "NotChecked",
    "OtherOrigin",
    "Population",
    "Predictor",
    "ShardError",
    "StaleStatistics",
    "Statistic",
    "UnmarkedStatistic",
    "batch_normalize",
    "engine",
    "estimate_population",
    "export_statistics",
    "fast_compilation",
    "get_inference_graph",
    "load_predictor",
    "mark_moments",
    "mark_statistic",
    "plot_population",
    "replace_statistics",
]
__version__ = _version("bnrewrite")

_install()
