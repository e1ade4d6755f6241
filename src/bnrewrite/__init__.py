"""Inference graphs for batch-normalized Aesara models, with their batch statistics in loops.

Mark the batch statistics while building a training graph, train, and get the graph that predicts
with statistics of the population instead.
"""

from bnrewrite.estimation.estimator import estimate_population as estimate_population
from bnrewrite.estimation.shards import ShardError as ShardError
from bnrewrite.graph.export import export_statistics as export_statistics
from bnrewrite.graph.hooks import install as _install
from bnrewrite.graph.marks import mark_moments as mark_moments
from bnrewrite.graph.marks import mark_statistic as mark_statistic
from bnrewrite.graph.replace import replace_statistics as replace_statistics
from bnrewrite.graph.statistics import Statistic as Statistic
from bnrewrite.inference import InferenceGraph as InferenceGraph
from bnrewrite.inference import get_inference_graph as get_inference_graph
from bnrewrite.normalization import batch_normalize as batch_normalize
from bnrewrite.population.population import Population as Population
from bnrewrite.report.plots import plot_population as plot_population

_install()
