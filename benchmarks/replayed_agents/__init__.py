"""Ten agents of different shape, and the random model they are recorded with (`model`).

Each folder is a small repository: `agent.py` with `answer(request)`, and what it reads. All of
them put the time of day and fresh identifiers into what they say to the model.
"""
