"""A pipeline told step by step: choosing a competitor of a product among fifty.

python examples/xray_pipeline.py
refinery serve      # its pages show every candidate and the filter it failed
"""

import random

from refinery import XRay

CHANCE, KINDS = random.Random(7), ("bottle", "mug", "flask", "jug")
PRODUCTS = [  # a few of them have no price
    {"id": f"P{n:02}", "kind": CHANCE.choice(KINDS), "rating": round(CHANCE.uniform(2, 5), 1)}
    | {"price": None if n % 17 == 0 else round(CHANCE.uniform(5, 60), 2)}
    for n in range(50)
]


def judge(product: dict, mine: dict) -> dict[str, dict]:
    """Every filter with its outcome and the numbers it rests on."""
    low, high, price = mine["price"] / 2, mine["price"] * 2, product["price"]
    told = "is missing" if price is None else f"{price} against {low:.2f} to {high:.2f}"
    return {
        "price": {"passed": price is not None and low <= price <= high, "detail": told},
        "rating": {"passed": product["rating"] >= 3.8, "detail": f"{product['rating']} of 3.8"},
    }


def select(mine: dict, products: list[dict]) -> dict | None:
    with XRay().trace("competitor selection", metadata={"seed": 7}) as trace:
        trace.set_input(mine)
        with trace.step("generate keywords") as step:
            keywords = [mine["kind"], "jug"]
            step.set_output(keywords=keywords)
            step.add_llm_metadata("example-model", tokens_used=42, temperature=0.2)
        with trace.step("search candidates") as step:
            found = [p for p in products if p["kind"] in keywords]
            if not found:
                raise LookupError(f"none of {len(products)} products is a {keywords[0]} or jug")
            step.set_output(total=len(products), found=len(found), candidates=found)
        with trace.step("filter and rank") as step:
            judged = [(product, judge(product, mine)) for product in found]
            kept = [p for p, filters in judged if all(f["passed"] for f in filters.values())]
            for product, filters in judged:
                failed = [name for name, one in filters.items() if not one["passed"]]
                why = f"fails {' and '.join(failed)}" if failed else "comparable"
                step.add_evaluation(product["id"], product, filters, not failed, why)
            best = max(kept, key=lambda p: p["rating"], default=None)
            step.set_reasoning(f"{len(kept)} of {len(found)} qualify; the best rated one wins")
        trace.set_output(best)
    return best


if __name__ == "__main__":
    for price, shop in ((24.0, PRODUCTS), (900.0, PRODUCTS), (9.0, [])):  # the usual, two edges
        try:
            print(select({"kind": "bottle", "price": price}, shop))
        except LookupError as error:
            print("the search failed:", error)
