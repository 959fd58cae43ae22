"""How much the desk may say."""

ROOM = 18
PATIENCE_S = 30
