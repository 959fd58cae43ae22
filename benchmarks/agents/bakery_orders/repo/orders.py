from langchain_core.tools import tool

ORDERS = {"B-11": {"state": "in the oven"}, "B-12": {"state": "ready at the counter"}}


def find(order_id):
    return ORDERS.get(order_id.upper())


@tool
def order_state(order_id: str) -> str:
    """State of an order, by its order id."""
    order = find(order_id)
    return f"The order is {order['state']}."
