"""From a trace to a proven change: the pipeline, and the agents that think in it.

`pipeline` the LangGraph graph, with `state`, `nodes`, `proof` and `attempt` · `playbook` signals
to edits without a model · `analyst` and `generator` the two that ask a model, with `digest`,
`tools`, `schemas` and `prompts/*.md`.

The two model agents are kept apart on purpose. The analyst reads the trace, which may have been
written by an attacker, and has tools that only read; all it hands on is typed fields and quotes
that were checked against the trace. The generator never sees the trace: it gets those fields, the
quotes fenced, the located source and guide passages, and all it hands on is typed edits. What
becomes of an edit is decided by deterministic code, not by a model.
"""
