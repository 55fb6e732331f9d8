"""The engine: graphs of steps that events walk, cyclic, async, pulled by whoever reads the answer."""

from graph.compiled.validate import StreamVerdict
from graph.errors import (
    CyclesNotAllowed,
    DuplicateStep,
    EndlessCycle,
    FlowIsBuilt,
    GraphDefinitionError,
    GraphError,
    InvalidInput,
    InvalidOutlet,
    InvalidPath,
    InvalidSelection,
    InvalidStep,
    InvalidTool,
    LimitExceeded,
    LoopDetected,
    MaxIterationsExceeded,
    MaxStepsExceeded,
    ModelRunnerError,
    MoneyExceeded,
    PathsMeet,
    PriceUnknown,
    RemoteError,
    RemoteGarbled,
    RemoteRefused,
    RemoteStrayed,
    RemoteUnfilled,
    ReplayDiffers,
    RunError,
    RunTimeout,
    StateConflict,
    StepTimeout,
    StreamNotCollected,
    StreamOnStream,
    TokensExceeded,
    ToolError,
    ToolsetNotStarted,
    ToolsetUnavailable,
    TooManyResponders,
    UnknownRoute,
    UnknownStep,
    UnreachableStep,
    WorkerLost,
)
from graph.event import Event
from graph.flow import Flow
from graph.instrument import Hooks, Instrument, LanguageCall, ToolCall
from graph.mock_server import MockServer
from graph.models.calling import ModelCall
from graph.models.entry import ModelEndpointCreationStrategy
from graph.models.llmodel import LLModel, StreamingLLModel
from graph.models.model import Model
from graph.models.selector import ModelEndpoint, ModelRunnerSelector, ModelSelector
from graph.options.cache import Cache
from graph.response import Response
from graph.running.meter import Meter, StepUsage
from graph.running.run import FlowRun
from graph.running.state import added, joined, largest, latest
from graph.running.stream import DROPPED
from graph.serving import AsyncSpec, Project, ServingFunction
from graph.step import Complete, Step, StepOptions
from graph.steps.batch import Batch, Unbatch
from graph.steps.choice import Choice
from graph.steps.choice_by_field import ChoiceByField
from graph.steps.collector import Collector
from graph.steps.extend import Extend
from graph.steps.filter import Filter
from graph.steps.flat_map import FlatMap, Flatten
from graph.steps.for_each import ForEach
from graph.steps.map import Map
from graph.steps.merge import Merge
from graph.steps.model_router import ModelRouter
from graph.steps.model_runner import ModelRunnerStep
from graph.steps.parallel_run import ParallelRun
from graph.steps.partition import Partition, Partitioned
from graph.steps.reduce import Reduce
from graph.steps.remote import RemoteStep
from graph.steps.rename import Rename
from graph.steps.sample_window import SampleWindow
from graph.steps.semantic_router import SemanticRouter
from graph.steps.stateful import MapWithState
from graph.steps.tools import ToolsStep
from graph.steps.v2_model_server import V2ModelServer
from graph.steps.voting_ensemble import VotingEnsemble
from graph.tool import Tool

__all__ = [
    "DROPPED",
    "AsyncSpec",
    "Batch",
    "Cache",
    "Choice",
    "ChoiceByField",
    "Collector",
    "Complete",
    "CyclesNotAllowed",
    "DuplicateStep",
    "EndlessCycle",
    "Event",
    "Extend",
    "Filter",
    "FlatMap",
    "Flatten",
    "Flow",
    "FlowIsBuilt",
    "FlowRun",
    "ForEach",
    "GraphDefinitionError",
    "GraphError",
    "Hooks",
    "Instrument",
    "InvalidInput",
    "InvalidOutlet",
    "InvalidPath",
    "InvalidSelection",
    "InvalidStep",
    "InvalidTool",
    "LLModel",
    "LanguageCall",
    "LimitExceeded",
    "LoopDetected",
    "Map",
    "MapWithState",
    "MaxIterationsExceeded",
    "MaxStepsExceeded",
    "Merge",
    "Meter",
    "MockServer",
    "Model",
    "ModelCall",
    "ModelEndpoint",
    "ModelEndpointCreationStrategy",
    "ModelRouter",
    "ModelRunnerError",
    "ModelRunnerSelector",
    "ModelRunnerStep",
    "ModelSelector",
    "MoneyExceeded",
    "ParallelRun",
    "Partition",
    "Partitioned",
    "PathsMeet",
    "PriceUnknown",
    "Project",
    "Reduce",
    "RemoteError",
    "RemoteGarbled",
    "RemoteRefused",
    "RemoteStep",
    "RemoteStrayed",
    "RemoteUnfilled",
    "Rename",
    "ReplayDiffers",
    "Response",
    "RunError",
    "RunTimeout",
    "SampleWindow",
    "SemanticRouter",
    "ServingFunction",
    "StateConflict",
    "Step",
    "StepOptions",
    "StepTimeout",
    "StepUsage",
    "StreamNotCollected",
    "StreamOnStream",
    "StreamVerdict",
    "StreamingLLModel",
    "TokensExceeded",
    "TooManyResponders",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolsStep",
    "ToolsetNotStarted",
    "ToolsetUnavailable",
    "Unbatch",
    "UnknownRoute",
    "UnknownStep",
    "UnreachableStep",
    "V2ModelServer",
    "VotingEnsemble",
    "WorkerLost",
    "added",
    "joined",
    "largest",
    "latest",
]
