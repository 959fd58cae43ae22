"""Finds conversations by time, user, words and meaning.

The trace store is the truth and answers for time frames, users, sessions and words. For meaning
there is the observability store, a folder of LanceDB tables (users, sessions, interactions,
react_cycles) that is filled from the trace store and can be thrown away and built again.

Every question is a `Query`, and every question passes through a `Scope`: nothing in this room
reads traces of a user the scope does not cover. Texts of a question are always values, never
parts of a statement.
"""
