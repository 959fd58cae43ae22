from openai import OpenAI

HOST = """You host the quiz on Radio Fjord and answer listeners.
[1] The quiz starts at eight in the evening.
[2] The jackpot is worth 500 crowns.
[3] Winners are called on Sunday."""

client = None


def answer(request):
    client = OpenAI(max_retries=0, timeout=30)
    reply = client.chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[
            {"role": "system", "content": HOST},
            {"role": "user", "content": request["question"]},
        ],
    )
    return {"answer": reply.choices[0].message.content}
