"""What recipes have in common; no plug-in of the room."""
