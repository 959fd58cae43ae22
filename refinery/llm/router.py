"""Connects to a model by `provider:model` and gets validated answers from it within a budget."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from refinery import clock
from refinery.errors import ModelError
from refinery.llm import calls, failures, replies
from refinery.llm.budget import Budget, Spending
from refinery.llm.clients import Limits, make_client, split_spec
from refinery.llm.prices import price_of
from refinery.llm.purse import Purse
from refinery.llm.replies import Usage
from refinery.llm.schema import wire_schema

T = TypeVar("T", bound=BaseModel)

MAX_OUTPUT_TOKENS = 8_000
"""Most tokens of one answer; within what every current model of both vendors can write."""
ATTEMPTS = 3
"""Attempts of one call that is refused for the moment (429, 5xx, no connection)."""
_OVERHEAD_TOKENS = 1_000
"""What vendors add to a request: roles, separators and their own tool instructions (Anthropic
documents up to 700 tokens for those)."""
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What the libraries raise on an answer that is not the vendor's format."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model to use and how far; nothing else is read from anywhere."""

    spec: str
    """`openai:<model>` or `anthropic:<model>`."""
    base_url: str | None = None
    """None: the vendor's own endpoint. Else any server that speaks the provider's API."""
    api_key: str | None = field(default=None, repr=False)
    budget_usd: float | None = None
    """Most money to spend through this connection; None: only the token ceiling holds."""
    log: Path | None = None
    """JSON-lines file that gets one line per call."""
    max_tokens: int = 1_000_000
    """Most tokens, input and output, through this connection."""
    timeout_s: float = 120.0
    """Longest silence of the model in one call."""
    temperature: float | None = None
    """None: what the vendor does by default; some models take no other."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A validated answer and what it took."""

    value: T
    usage: Usage
    cost_usd: float | None
    """None when the model's price is unknown."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model may call while it looks around; must only read."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object."""
    run: Callable[[Mapping[str, Any]], str]
    """Gets the arguments as the model wrote them; returns text for the model."""


def connect(choice: ModelChoice, purse: Purse | None = None) -> "Model":
    """A connection to the chosen model; nothing is sent yet.

    Args:
        choice: which model.
        purse: money that others spend too; None: `choice.budget_usd`, for this connection alone.

    Raises:
        InputError: the spec or the base URL is not usable.
        CredentialsError: the vendor's endpoint needs a key and none was given.
    """
    price = price_of(split_spec(choice.spec)[1])
    return Model(choice, Budget(choice.max_tokens, purse or Purse(choice.budget_usd), price))


class Model:
    """One model with its budget and its log."""

    def __init__(self, choice: ModelChoice, budget: Budget) -> None:
        limits = Limits(choice.timeout_s, MAX_OUTPUT_TOKENS, choice.temperature)
        self._client = make_client(choice.spec, choice.base_url, choice.api_key, limits)
        self._choice = choice
        self._budget = budget

    @property
    def spec(self) -> str:
        """`provider:model` as the user named it."""
        return self._choice.spec

    @property
    def identity(self) -> str:
        """Model and endpoint: answers of equal identity may stand for each other."""
        return f"{self._choice.spec}@{self._choice.base_url or 'vendor'}"

    def at(self, temperature: float) -> "Model":
        """The same model at another temperature; both spend from one budget."""
        return Model(replace(self._choice, temperature=temperature), self._budget)

    @property
    def spent(self) -> Spending:
        """What this connection has spent so far, and those that share its budget."""
        return self._budget.spent

    def structured(
        self, system: str, user: str, schema: type[T], *, purpose: str = "answer"
    ) -> Answer[T]:
        """One question, one validated answer.

        Raises:
            ModelError: no answer, or none that fits the schema after one repair.
            BudgetError: the call could exceed the budget.
            CredentialsError: the key was refused.
        """
        return self.converse(system, user, purpose=purpose).structured(schema)

    def with_tools(
        self, system: str, user: str, tools: Sequence[Tool], *, rounds: int, purpose: str = "look"
    ) -> "Conversation":
        """A conversation in which the model may use tools for so many rounds.

        Raises:
            ModelError, BudgetError, CredentialsError: as `structured`.
        """
        conversation = self.converse(system, user, purpose=purpose)
        conversation.use(tools, rounds)
        return conversation

    def converse(self, system: str, user: str, *, purpose: str = "answer") -> "Conversation":
        """A conversation that begins with a system prompt and one message; nothing is sent."""
        return Conversation(self, system, user, purpose)

    def call(
        self, runnable: Any, messages: Sequence[Any], extra_bytes: int, purpose: str
    ) -> tuple[Any, Usage]:
        """Invoke a LangChain runnable within the budget, with bounded retries.

        Args:
            runnable: returns an `AIMessage`, or a dict with one under `raw`.
            messages: LangChain messages.
            extra_bytes: UTF-8 size of what is sent beside the messages, e.g. tool schemas.
            purpose: for the log.

        Returns:
            The `AIMessage` and its usage.

        Raises:
            ModelError, BudgetError, CredentialsError: as `structured`.
        """
        bound = (replies.size(messages) + extra_bytes + _OVERHEAD_TOKENS, MAX_OUTPUT_TOKENS)
        expected: tuple[type[Exception], ...] = (*self._client.vendor_errors, *_UNREADABLE)
        for attempt in range(1, ATTEMPTS + 1):
            self._budget.reserve(*bound, purpose)
            started = (clock.now_ns(), clock.monotonic_s())
            try:
                reply = _invoke_untraced(runnable, messages)
                usage = replies.usage(reply)
            except expected as error:
                used = (0, 0) if failures.is_free(error) else bound
                self._record(purpose, started, bound, used, failures.outcome_of(error))
                if attempt == ATTEMPTS or not failures.is_passing(error):
                    raise failures.ours(error, self.spec, self._choice.base_url) from error
                time.sleep(failures.wait_s(error, attempt))
            else:
                said = replies.size([reply])
                used = (usage.input, usage.output) if usage else (bound[0], said)
                self._record(purpose, started, bound, used, "ok" if usage else "ok, no usage")
                return reply, Usage(*used)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def bind(self, tools: Sequence[Tool]) -> Any:
        """A runnable of this model that may call the tools."""
        return self._client.chat.bind_tools([_tool_schema(tool) for tool in tools])

    def bind_call(self, tools: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> Any:
        """A runnable of this model for a recorded call.

        Args:
            tools: OpenAI function schemas.
            params: sampling parameters as LangChain's client of the vendor names them.
        """
        chat = self._client.chat
        bound = chat.bind_tools([dict(tool) for tool in tools]) if tools else chat
        return bound.bind(**params)

    def bind_schema(self, schema: Mapping[str, Any]) -> Any:
        """A runnable of this model that answers by a JSON schema, the message under `raw`."""
        # Only OpenAI's own flag; Anthropic is forced to call the one tool the schema becomes.
        options = {"strict": True} if self.spec.startswith("openai:") else {}
        return self._client.chat.with_structured_output(dict(schema), include_raw=True, **options)

    def cost(self, usage: Usage) -> float | None:
        """Estimated cost in USD; None when the price is unknown."""
        return self._budget.cost(usage.input, usage.output)

    def note_lookup(self, purpose: str, *, is_found: bool) -> None:
        """Write into the log of calls that a cached answer was looked up."""
        outcome = calls.CACHED if is_found else calls.NOT_CACHED
        nothing = calls.Call(clock.now_ns(), self.spec, purpose, 0, 0, "reported", 0.0, outcome, 0)
        calls.append(self._choice.log, nothing)

    def _record(
        self,
        purpose: str,
        started: tuple[int, float],
        bound: tuple[int, int],
        used: tuple[int, int],
        outcome: str,
    ) -> None:
        self._budget.settle(bound, used, purpose)
        call = calls.Call(
            time_ns=started[0],
            model=self.spec,
            purpose=purpose,
            input_tokens=used[0],
            output_tokens=used[1],
            tokens_source="reported" if outcome == "ok" or used == (0, 0) else "bound",
            cost_usd=self._budget.cost(*used),
            outcome=outcome,
            duration_s=round(clock.monotonic_s() - started[1], 3),
        )
        calls.append(self._choice.log, call)


class Conversation:
    """Messages so far with one model."""

    def __init__(self, model: Model, system: str, user: str, purpose: str) -> None:
        from langchain_core.messages import HumanMessage, SystemMessage

        self._model = model
        self._purpose = purpose
        self._messages: list[Any] = [SystemMessage(system), HumanMessage(user)]
        self.usage = Usage()
        """Tokens of all calls of this conversation."""

    def say(self, text: str) -> None:
        """Add a message of ours, to be sent with the next call."""
        from langchain_core.messages import HumanMessage

        self._messages.append(HumanMessage(text))

    def use(self, tools: Sequence[Tool], rounds: int) -> None:
        """Let the model call tools until it stops or the rounds are used up.

        Raises:
            ModelError, BudgetError, CredentialsError: as `Model.structured`.
        """
        from langchain_core.messages import ToolMessage

        runnable = self._model.bind(tools)
        extra = sum(len(json.dumps(_tool_schema(tool)).encode()) for tool in tools)
        by_name = {tool.name: tool for tool in tools}
        for _ in range(rounds):
            reply, usage = self._model.call(runnable, self._messages, extra, self._purpose)
            self.usage += usage
            asked = [*reply.tool_calls, *reply.invalid_tool_calls]
            if not asked:
                if str(reply.text).strip():
                    self._messages.append(reply)
                return
            self._messages.append(reply)
            for wish in asked:
                said = _run_tool(by_name, wish)
                self._messages.append(ToolMessage(said, tool_call_id=wish["id"] or ""))

    def structured(self, schema: type[T]) -> Answer[T]:
        """Ask for an answer by a schema, once more with the errors when it does not fit.

        Raises:
            ModelError, BudgetError, CredentialsError: as `Model.structured`.
        """
        from langchain_core.messages import AIMessage

        wire = wire_schema(schema)
        runnable = self._model.bind_schema(wire)
        extra = len(json.dumps(wire).encode())
        problem = ""
        for _ in range(2):
            reply, usage = self._model.call(runnable, self._messages, extra, self._purpose)
            self.usage += usage
            text = replies.answer_text(reply)
            try:
                value = schema.model_validate_json(text)
            except ValidationError as error:
                problem = replies.described(error)
                # As text: a tool call in the raw reply would have to be answered by us.
                self._messages.append(AIMessage(text[:20_000] or "(empty)"))
                self.say(
                    "That answer does not fit the required schema:\n"
                    f"{problem}\nGive the whole answer again, corrected."
                )
            else:
                self._messages.append(AIMessage(text))
                return Answer(value, self.usage, self._model.cost(self.usage))
        raise ModelError(
            f"{self._model.spec} twice gave an answer that does not fit: {problem}",
            hint="try again, or use a stronger model",
        )


def _invoke_untraced(runnable: Any, messages: Sequence[Any]) -> Any:
    """Call the model without sending our own calls to anybody's tracing project."""
    from langsmith.run_helpers import tracing_context

    with tracing_context(enabled=False):
        answered = runnable.invoke(list(messages))
    return answered["raw"] if isinstance(answered, dict) else answered


def _tool_schema(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def _run_tool(by_name: Mapping[str, Tool], wish: Mapping[str, Any]) -> str:
    tool = by_name.get(str(wish.get("name")))
    if tool is None:
        return f"There is no such tool; there are: {', '.join(by_name)}."
    arguments = wish.get("args")
    if not isinstance(arguments, Mapping):
        return "The arguments are not a JSON object; call again with one."
    return tool.run(arguments)
