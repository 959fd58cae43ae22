"""To be described by the room that owns it."""
