from openai import OpenAI

from letters import prompt_for

PEOPLE = {"P-1": ("Eva Lund", 4100), "P-2": ("Nils Aas", 5200), "P-3": ("Siv Ree", 3900)}


def answer(request):
    if request["person"] not in PEOPLE:
        return {"answer": "unknown person"}
    name, amount = PEOPLE[request["person"]]
    reply = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        temperature=0,
        messages=[
            {"role": "system", "content": prompt_for(name, amount)},
            {"role": "user", "content": "How many crowns a month is the pension?"},
        ],
    )
    return {"answer": reply.choices[0].message.content}
