from openai import OpenAI

CLASSES = "lost, damaged, late"
PROMPT = f"Classify the parcel complaint as one of: {CLASSES}. Answer with one word."


def answer(request):
    reply = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        max_tokens=200,
        temperature=1.0,
        messages=[
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": request["complaint"]},
        ],
    )
    return {"answer": reply.choices[0].message.content}
