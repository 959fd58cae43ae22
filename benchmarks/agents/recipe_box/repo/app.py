import json

from openai import OpenAI

ORDER = "Extract what the recipe needs as JSON only, nothing else."


def read_recipe(text):
    reply = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[{"role": "system", "content": ORDER}, {"role": "user", "content": text}],
    )
    found = json.loads(reply.choices[0].message.content)
    return {"dish": found["dish_name"], "minutes": found["cooking_minutes"]}


def answer(request):
    if len(request["recipe"]) < 10:
        return {"dish": None, "minutes": 0}
    return read_recipe(request["recipe"])
