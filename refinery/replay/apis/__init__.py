"""One file per vendor interface: how its requests, replies and event streams are written.

Each has `request(body)`, `body(request, reply)` and `events(request, reply)` for writing, and
`reply(body)` and `joined(events)` for reading, where `joined` turns the events of a stream into
the body the same answer has without streaming. All take and give plain JSON.
"""
