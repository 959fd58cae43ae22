"""Records a client of the `anthropic` package: one run a call, whatever method makes it.

Recorded are messages and beta messages, sync and async, streamed, parsed and raw. What the program
gets back are the SDK's own objects.
"""

from typing import TypeVar

from refinery.recorders import _calls, _vendors, switch

Client = TypeVar("Client")


def wrap_anthropic(client: Client) -> Client:
    """Record every model call of an `anthropic` client from now on, and of copies made of it.

    Works with `Anthropic`, `AsyncAnthropic` and their kin for other clouds. Not needed in
    programs that call `refinery.record()`. Does nothing when `REFINERY_RECORD=0`. Never raises.

    Args:
        client: the client; it is changed, not copied.

    Returns:
        The same client.
    """
    if switch.is_enabled():
        with _calls.guarded(None):
            _vendors.wrap(client, _vendors.ANTHROPIC, switch.current_book)
            if not switch.was_decided():
                switch.record_by_hand()
    return client
