"""Talks to the one model the user named, within a budget; the only room that calls a model.

`router.connect(ModelChoice(...))` gives a `Model`. What this room promises:

- Only what the caller passes is used. Keys, base URLs, organisations, proxies and headers of
  `OPENAI_*`, `ANTHROPIC_*`, `LANGSMITH_*` and `LANGCHAIN_*` variables are those of the agent
  under repair and never reach our calls; our calls are never traced.
- An answer is a validated pydantic value or a `ModelError`; one repair is asked for.
- The budget is reserved before a call and settled after it, so it is never exceeded: a token is
  at least one byte, and an answer has at most the tokens asked for.
- Every call is one line of the log: time, model, purpose, tokens and cost, never its content.

`router` the model · `clients` the vendors' libraries · `budget` the ceiling · `prices` what
tokens cost · `calls` the log · `schema` the JSON schema sent on the wire.
"""
