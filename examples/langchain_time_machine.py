"""A LangChain agent with one line added; then the same decision, taken by another model.

python examples/langchain_time_machine.py
refinery serve      # its pages show both, and try any other model, temperature or prompt

It asks the model OPENAI_BASE_URL and OPENAI_API_KEY name; without a key a scripted one.
"""

import os
import subprocess
import sys
from contextlib import ExitStack

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import chain
from langchain_openai import ChatOpenAI

import refinery
from refinery.demo import model as scripted
from refinery.recorders.sink import flush_all
from refinery.replay.wire import ModelReply, ModelRequest

refinery.record()  # the one line

RULES = ("2021: Goods can be returned for 14 days.", "2025: Goods can be returned for 30 days.")
DECIDE = ChatPromptTemplate.from_messages(
    [("system", "You decide about returns. The rules, oldest first:\n{rules}"), ("user", "{ask}")]
)
MODEL, OTHER = os.environ.get("MODEL", "gpt-5-nano"), os.environ.get("OTHER_MODEL", "gpt-5-mini")


@chain
def returns(ask: str) -> str:
    decide = DECIDE | ChatOpenAI(model=MODEL, temperature=0)
    return decide.invoke({"rules": "\n".join(RULES), "ask": ask}).text


def in_place_of_a_model(request: ModelRequest) -> ModelReply:
    """The small one stops reading at the first rule; the other one reads on."""
    rule = RULES[0] if request.model == MODEL else RULES[1]
    return ModelReply(text=f"Going by the rule of {rule}", model=request.model)


if __name__ == "__main__":
    with ExitStack() as stack:
        if not os.environ.get("OPENAI_API_KEY"):
            address = stack.enter_context(scripted.serve(in_place_of_a_model))
            os.environ |= {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none"}
        print(MODEL, "said:", returns.invoke("I bought a kettle 20 days ago. May I return it?"))
        flush_all()  # a program that ends does this by itself
        again = [sys.executable, "-m", "refinery", "replay", "latest", "--model", OTHER]
        sys.exit(subprocess.run(again, check=False).returncode)
