import anthropic

from limits import PATIENCE_S, ROOM

DESK = """You explain the bus lines of Elverum and use only the documents.
[1] Bus line 4 runs from the hospital over the old bridge and along the river past the school to the station in Nordby.
[2] Bus line 7 runs from the harbour up the steep hill and through the pine forest behind the church to the lake in Storvik.
[3] Bus line 9 is closed."""


def answer(request):
    client = anthropic.Anthropic(timeout=PATIENCE_S)
    said = []
    with client.messages.stream(
        model="claude-3-5-haiku-latest",
        max_tokens=ROOM,
        system=DESK,
        messages=[{"role": "user", "content": request["question"]}],
    ) as stream:
        for piece in stream.text_stream:
            said.append(piece)
    return {"answer": "".join(said)}
