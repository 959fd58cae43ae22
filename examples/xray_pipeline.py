"""A pipeline told step by step: choosing competitors of a product among fifty.

python examples/xray_pipeline.py
refinery traces
refinery show latest
"""

import random

from refinery import XRay

SEED, NOUNS = 7, ("bottle", "mug", "flask", "jug")


def catalogue(chance: random.Random) -> list[dict]:
    """Fifty products, a few of them without a price."""
    products = []
    for n in range(50):
        price = None if n % 17 == 0 else round(chance.uniform(5, 60), 2)
        known = {"noun": chance.choice(NOUNS), "rating": round(chance.uniform(2, 5), 1)}
        products.append({"id": f"P{n:02}", "price": price, **known})
    return products


def judge(product: dict, reference: dict) -> tuple[dict[str, bool], str]:
    if product["price"] is None:
        return {"price": False}, "the price is missing"
    ratio = product["price"] / reference["price"]
    filters = {"price": 0.5 <= ratio <= 2, "rating": product["rating"] >= 3.8}
    failed = " and ".join(name for name, passed in filters.items() if not passed)
    return filters, f"fails {failed}" if failed else "comparable"


def select(reference: dict, products: list[dict]) -> dict | None:
    with XRay().trace("competitor selection", metadata={"seed": SEED}) as trace:
        trace.set_input(reference)
        with trace.step("generate keywords") as step:
            keywords = [reference["noun"], "jug"]
            step.set_output(keywords=keywords)
            step.add_llm_metadata("example-model", tokens_used=42, temperature=0.2)
        with trace.step("search candidates") as step:
            found = [p for p in products if p["noun"] in keywords]
            step.set_output(total=len(products), found=len(found))
        with trace.step("filter and rank") as step:
            judged = {p["id"]: judge(p, reference) for p in found}
            for product in found:
                filters, why = judged[product["id"]]
                step.add_evaluation(product["id"], product, filters, all(filters.values()), why)
            kept = [p for p in found if all(judged[p["id"]][0].values())]
            best = max(kept, key=lambda p: p["rating"], default=None)
            step.set_reasoning(f"{len(kept)} of {len(found)} qualify; the best rated one wins")
        trace.set_output(best)
    return best


if __name__ == "__main__":
    products = catalogue(random.Random(SEED))
    print(select({"noun": "bottle", "price": 24.0}, products))
    print(select({"noun": "bottle", "price": 900.0}, products))  # nothing compares with it
