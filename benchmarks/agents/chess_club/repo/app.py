import anthropic

WELCOME = "You talk with members of the Rook and Pawn chess club about what they told you."


def answer(request):
    turns = [*request["history"], {"role": "user", "content": request["question"]}]
    recent = turns[-2:]
    if recent[0]["role"] != "user":
        recent = recent[1:]
    reply = anthropic.Anthropic().messages.create(
        model="claude-3-5-haiku-latest", max_tokens=300, system=WELCOME, messages=recent
    )
    return {"answer": reply.content[0].text}
