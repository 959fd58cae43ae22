"""Reads a server with Langfuse's own SDK, to see that the server speaks as Langfuse does."""

import json
import os

from langfuse.api import LangfuseAPI

client = LangfuseAPI(base_url=os.environ["LANGFUSE_URL"], username="pk-lf-1", password="sk-lf-1")
fields = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
found, cursor = [], None
while True:
    page = client.observations.get_many(
        trace_id=os.environ["TRACE"], fields=fields, cursor=cursor, limit=100
    )
    found += [[item.id, item.type, item.parent_observation_id] for item in page.data]
    cursor = page.meta.cursor
    if not cursor:
        break
scores = client.scores.get_many(trace_id=os.environ["TRACE"], fields="details,subject")
print(json.dumps({"observations": found, "scores": [[s.name, s.value] for s in scores.data]}))
