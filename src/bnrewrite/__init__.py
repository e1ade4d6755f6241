"""Inference graphs for batch-normalized Aesara models, with their batch statistics in loops.

Mark the batch statistics while building a training graph, train, and get the graph that predicts
with statistics of the population instead.
"""

from bnrewrite.estimate import estimate_population as estimate_population
from bnrewrite.export import export_statistics as export_statistics
from bnrewrite.inference import InferenceGraph as InferenceGraph
from bnrewrite.inference import get_inference_graph as get_inference_graph
from bnrewrite.isolation import isolate as _isolate
from bnrewrite.marks import Statistic as Statistic
from bnrewrite.marks import mark_moments as mark_moments
from bnrewrite.marks import mark_statistic as mark_statistic
from bnrewrite.normalization import batch_normalize as batch_normalize
from bnrewrite.plots import plot_population as plot_population
from bnrewrite.population import Population as Population
from bnrewrite.replace import replace_statistics as replace_statistics
from bnrewrite.shards import ShardError as ShardError

_isolate()
