"""Traces with MLflow's SDK, judges one, and keeps what MLflow's own client reads back."""

import contextlib
import json
import os
from pathlib import Path

import mlflow

mlflow.set_tracking_uri(os.environ["MLFLOW_URL"])
mlflow.set_experiment("shop")


@mlflow.trace(span_type="TOOL", name="weather")
def weather(city: str) -> dict:
    if city == "X":
        raise ValueError("no such city")
    return {"city": city, "degrees": 21, "digits": "123", "none": None}


@mlflow.trace(span_type="AGENT", name="agent")
def agent(city: str) -> dict:
    metadata = {"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"}
    mlflow.update_current_trace(tags={"team": "blue"}, metadata=metadata)
    with mlflow.start_span("llm", span_type="CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": city}]})
        span.set_outputs("123")
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        span.set_attribute("mlflow.chat.tokenUsage", usage)
        span.set_attribute("temperature", 0.5)
    return weather(city)


for asked in ("Paris", "X", "Rome", "Oslo", "Bern"):
    with contextlib.suppress(ValueError):
        agent(asked)
mlflow.flush_trace_async_logging()
last = mlflow.get_last_active_trace_id()
mlflow.log_feedback(trace_id=last, name="good", value=True, rationale="fine")
mlflow.log_expectation(trace_id=last, name="wanted", value={"city": "Bern"})
experiment = mlflow.get_experiment_by_name("shop").experiment_id
traces = mlflow.search_traces(locations=[experiment], return_type="list")
for trace in traces:
    Path(f"trace_{trace.info.trace_id}.json").write_text(trace.to_json())
table = mlflow.search_traces(locations=[experiment])
table.to_json("rows.jsonl", orient="records", lines=True, default_handler=str)
rows = [
    {
        "trace_id": trace.info.trace_id,
        "state": str(trace.info.state.value),
        "spans": {span.span_id: [span.name, span.status.status_code.value] for span in spans},
        "assessments": [item.name for item in trace.info.assessments],
    }
    for trace in traces
    for spans in [trace.data.spans]
]
print("RESULT" + json.dumps(rows))
