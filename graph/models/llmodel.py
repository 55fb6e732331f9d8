"""LLModel: a language model behind a prompt artifact, as a model of a ModelRunnerStep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import llm
from graph.errors import InvalidInput, InvalidStep
from graph.event import Event
from graph.models.blocking import waited
from graph.models.model import Model
from llm import ChatChunk, ChatCompletion, ChatRequest, Message, Usage
from prompts import LivePrompt, LLMPromptArtifact, MissingVariable, RenderingFailed


class LLModel(Model):
    """Fills a prompt from the body, asks a language model, and gives ``{"answer": str, "usage": {...}}``.

    ``usage`` is the provider's own object, whole; where it reports none it is counted, with ``"estimated": True``. An
    answer that calls tools has ``tool_calls`` too. Of a list of bodies the result is the list of their results. What
    the calls cost is booked on the run.

    Args:
        name: the endpoint.
        model_artifact: which model, and with which prompt: an :class:`llm.LLModel` (both), an :class:`llm.Model` (just
            the model; the body's ``messages`` are asked), or, with ``model=``, a prompt: an
            :class:`prompts.LLMPromptArtifact`, or a :class:`prompts.LivePrompt`, whose version may change.
            Proxies of a shared model bring a prompt each.
        model: the :class:`llm.Model`, where the artifact is just a prompt.

    Raises:
        InvalidStep: when neither says which model.
    """

    streams = False

    def __init__(self, name: str, model_artifact: Any = None, *, model: llm.Model | None = None, **parameters: Any):
        super().__init__(name, model_artifact, **parameters)
        if isinstance(model_artifact, llm.LLModel):
            self.model, self._prompt = model_artifact.model, prompt_of(name, model_artifact)
        elif isinstance(model_artifact, llm.Model):
            self.model, self._prompt = model_artifact, None
        elif model is not None:
            self.model, self._prompt = model, prompt_of(name, model_artifact)
        else:
            raise InvalidStep(
                f"model '{name}': nothing says which language model it is; give model_artifact=llm.LLModel(model, "
                "prompt), or model_artifact=prompt and model="
            )

    @property
    def prompt(self) -> LLMPromptArtifact | None:
        """The prompt in force now, if it has one of its own."""
        return self._prompt.current if self._prompt is not None else None

    def predict(
        self, body: Any, messages: Any = None, invocation_config: Mapping[str, Any] | None = None, **given: Any
    ) -> Any:
        """:meth:`predict_async`, for a subclass that is called in a thread or a process."""
        return waited(LLModel.predict_async(self, body, messages, invocation_config, **given))

    async def predict_async(
        self,
        body: Any,
        messages: Any = None,
        invocation_config: Mapping[str, Any] | None = None,
        event: Event | None = None,
        **_given: Any,
    ) -> Any:
        """The answer to ``messages``; of a list of lists of messages the list of the answers.

        Raises:
            ModelError: what the provider raises.
        """
        if messages is None:
            messages, invocation_config = self.enrich_prompt(body, self.name, self.prompt)
        event = event or Event(body)
        if isinstance(body, list) and not messages:
            return []
        if not messages or isinstance(messages[0], Mapping):
            return await self._answer(messages, invocation_config or {}, event)
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._answer(each, invocation_config or {}, event)) for each in messages]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in asked]

    def enrich_prompt(
        self, body: Any, origin_name: str, llm_prompt_artifact: LLMPromptArtifact | None
    ) -> tuple[Any, dict[str, Any]]:
        """The messages, and the parameters of the request, that an artifact makes of a body; of a list of bodies a list
        of lists of messages. ``origin_name`` is the endpoint that was called.

        Raises:
            InvalidInput: when the artifact cannot be filled from the body, or without one that has no messages.
        """
        config = dict(llm_prompt_artifact.invocation_config) if llm_prompt_artifact is not None else {}
        if isinstance(body, list):
            return [_messages(each, origin_name, llm_prompt_artifact) for each in body], config
        if isinstance(body, ChatRequest):
            config |= body.parameters
        return _messages(body, origin_name, llm_prompt_artifact), config

    def given(self, body: Any, model_artifact: Any) -> dict[str, Any]:
        prompt = self._prompt if model_artifact is None else prompt_of(self.name, model_artifact)
        messages, config = self.enrich_prompt(body, self.name, prompt.current if prompt is not None else None)
        return {"messages": messages, "invocation_config": config}

    def request(self, messages: list[Message], config: Mapping[str, Any]) -> ChatRequest:
        """The request to the provider."""
        request = ChatRequest(self.model.name, messages).having(**config)
        request.stream = self.streams
        return request

    async def _answer(self, messages: list[Message], config: Mapping[str, Any], event: Event) -> dict[str, Any]:
        from graph.steps.model_call import listen  # noqa: PLC0415 - steps know models

        request = self.request(messages, config)
        return answered(await llm.collect(listen(self.model, request, event, config)))


LLModel.predict.only_waits = True  # type: ignore[attr-defined]


class StreamingLLModel(LLModel):
    """An LLModel that streams: its chunks are :class:`llm.ChatChunk`, tool calls, finish reason and usage included."""

    streams = True

    async def predict_async(  # type: ignore[override]
        self,
        body: Any,
        messages: Any = None,
        invocation_config: Mapping[str, Any] | None = None,
        event: Event | None = None,
        **_given: Any,
    ) -> AsyncGenerator[ChatChunk, None]:
        """The answer, chunk by chunk.

        Raises:
            InvalidInput: for a batch, whose answers cannot be one stream.
            ModelError: what the provider raises.
        """
        from graph.steps.model_call import listen  # noqa: PLC0415 - steps know models

        if isinstance(body, list):
            raise InvalidInput(f"model '{self.name}' streams, so it cannot answer a batch; use LLModel for batches")
        if messages is None:
            messages, invocation_config = self.enrich_prompt(body, self.name, self.prompt)
        config = invocation_config or {}
        async with aclosing(listen(self.model, self.request(messages, config), event or Event(body), config)) as chunks:
            async for chunk in chunks:
                yield chunk


def answered(completion: ChatCompletion) -> dict[str, Any]:
    """The result of a call: answer, usage, and tool calls if there are any."""
    usage = completion.usage or Usage()
    calls = {"tool_calls": [call.to_wire() for call in completion.tool_calls]} if completion.tool_calls else {}
    return {"answer": completion.content, "usage": usage.to_wire(), **calls}


def prompt_of(name: str, artifact: Any) -> LLMPromptArtifact | LivePrompt | None:
    """The prompt in an artifact.

    Raises:
        InvalidStep: when it is none.
    """
    if isinstance(artifact, llm.LLModel):
        return artifact.prompt
    if artifact is None or isinstance(artifact, (LLMPromptArtifact, LivePrompt)):
        return artifact
    raise InvalidStep(f"model '{name}': {artifact!r} is no prompt; give an LLMPromptArtifact")


def _messages(body: Any, endpoint: str, prompt: LLMPromptArtifact | None) -> list[Message]:
    """What is asked: the filled prompt; after it, or without one, the messages of the body."""
    if isinstance(body, ChatRequest):
        return [*(prompt.render({}) if prompt is not None else ()), *body.messages]
    if prompt is not None and prompt.prompt_template:
        try:
            return prompt.render(body if isinstance(body, Mapping) else {})
        except (MissingVariable, RenderingFailed) as error:
            raise InvalidInput(str(error)) from error
    if isinstance(body, str):
        return [{"role": "user", "content": body}]
    messages = body.get("messages") if isinstance(body, Mapping) else None
    if (
        isinstance(messages, list)
        and messages
        and all(isinstance(each, Mapping) and "role" in each for each in messages)
    ):
        return list(messages)
    wanted = "the body must be a text, or have 'messages': a list of objects with a role"
    raise InvalidInput(f"model '{endpoint}' has no prompt, so {wanted}")
