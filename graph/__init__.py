"""The engine: graphs of steps that events walk, cyclic, async, pulled by whoever reads the answer."""

from graph.errors import (
    CyclesNotAllowed,
    DuplicateStep,
    FlowIsBuilt,
    GraphDefinitionError,
    GraphError,
    InvalidOutlet,
    InvalidPath,
    InvalidStep,
    LimitExceeded,
    LoopDetected,
    MaxIterationsExceeded,
    MaxStepsExceeded,
    RunError,
    RunTimeout,
    StreamNotCollected,
    StreamOnStream,
    TooManyResponders,
    UnknownStep,
    UnreachableStep,
    UnsupportedSplit,
)
from graph.event import Event, StepUsage
from graph.flow import Flow
from graph.instrument import Hooks, Instrument
from graph.mock_server import MockServer
from graph.run import FlowRun
from graph.step import Complete, Step
from graph.steps.choice import Choice
from graph.steps.collector import Collector
from graph.steps.filter import Filter
from graph.stream import DROPPED
from graph.validate import StreamVerdict

__all__ = [
    "DROPPED",
    "Choice",
    "Collector",
    "Complete",
    "CyclesNotAllowed",
    "DuplicateStep",
    "Event",
    "Filter",
    "Flow",
    "FlowIsBuilt",
    "FlowRun",
    "GraphDefinitionError",
    "GraphError",
    "Hooks",
    "Instrument",
    "InvalidOutlet",
    "InvalidPath",
    "InvalidStep",
    "LimitExceeded",
    "LoopDetected",
    "MaxIterationsExceeded",
    "MaxStepsExceeded",
    "MockServer",
    "RunError",
    "RunTimeout",
    "Step",
    "StepUsage",
    "StreamNotCollected",
    "StreamOnStream",
    "StreamVerdict",
    "TooManyResponders",
    "UnknownStep",
    "UnreachableStep",
    "UnsupportedSplit",
]
