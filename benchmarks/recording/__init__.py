"""What recording costs: one file a recorder, each run in a process of its own (see `record`)."""
