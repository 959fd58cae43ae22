"""Reads a server with Datadog's own client, to see that the server speaks as documented."""

import json
import os

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.agent_observability_api import AgentObservabilityApi
from datadog_api_client.v2.model.llm_obs_search_spans_request import LLMObsSearchSpansRequest

configuration = Configuration(host=os.environ["DATADOG_URL"])
configuration.api_key = {"apiKeyAuth": "api", "appKeyAuth": "app"}
configuration.unstable_operations["search_llm_obs_spans"] = True
wanted = {"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}
body = {
    "data": {
        "type": "spans",
        "attributes": {
            "filter": {**wanted, "trace_id": os.environ["TRACE"]},
            "page": {"limit": 100},
            "sort": "-timestamp",
        },
    }
}
with ApiClient(configuration) as client:
    answer = AgentObservabilityApi(client).search_llm_obs_spans(
        body=LLMObsSearchSpansRequest(**body, _spec_property_naming=True)
    )
spans = [item.attributes for item in answer.data]
print(json.dumps([[s.span_id, s.span_kind, s.status, s.start_ns, s.duration] for s in spans]))
