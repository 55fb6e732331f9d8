"""The engine: graphs of steps that events walk, cyclic, async, pulled by whoever reads the answer."""

from graph.errors import (
    CyclesNotAllowed,
    DuplicateStep,
    EndlessCycle,
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
    MoneyExceeded,
    PathsMeet,
    RunError,
    RunTimeout,
    StateConflict,
    StepTimeout,
    StreamNotCollected,
    StreamOnStream,
    TokensExceeded,
    TooManyResponders,
    UnknownStep,
    UnreachableStep,
    WorkerLost,
)
from graph.event import Event
from graph.flow import Flow
from graph.instrument import Hooks, Instrument
from graph.meter import Meter, StepUsage
from graph.mock_server import MockServer
from graph.options.cache import Cache
from graph.response import Response
from graph.run import FlowRun
from graph.serving import ServingFunction
from graph.state import added, joined, largest, latest
from graph.step import Complete, Step, StepOptions
from graph.steps.batch import Batch, Unbatch
from graph.steps.choice import Choice
from graph.steps.collector import Collector
from graph.steps.filter import Filter
from graph.steps.merge import Merge
from graph.stream import DROPPED
from graph.validate import StreamVerdict

__all__ = [
    "DROPPED",
    "Batch",
    "Cache",
    "Choice",
    "Collector",
    "Complete",
    "CyclesNotAllowed",
    "DuplicateStep",
    "EndlessCycle",
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
    "Merge",
    "Meter",
    "MockServer",
    "MoneyExceeded",
    "PathsMeet",
    "Response",
    "RunError",
    "RunTimeout",
    "ServingFunction",
    "StateConflict",
    "Step",
    "StepOptions",
    "StepTimeout",
    "StepUsage",
    "StreamNotCollected",
    "StreamOnStream",
    "StreamVerdict",
    "TokensExceeded",
    "TooManyResponders",
    "Unbatch",
    "UnknownStep",
    "UnreachableStep",
    "WorkerLost",
    "added",
    "joined",
    "largest",
    "latest",
]
