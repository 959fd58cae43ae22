import json
from pathlib import Path

from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI

SETTINGS = json.loads((Path(__file__).parent / "settings.json").read_text())
LABELS = ("praise", "blame", "neutral")


def answer(request):
    model = ChatOpenAI(model=SETTINGS["model"]["name"], temperature=SETTINGS["model"]["temperature"])
    prompt = f"Classify the film review as one of {LABELS}; answer with one word.\nText: {request['review']}"
    return {"verdict": (model | StrOutputParser()).invoke(prompt)}
