"""Runs a recorded agent again: from its tape, with or without a patch, and says what changed.

`tape` what a replay needs of a trace · `canonical` when two model requests are the same ·
`wire` and `apis` the vendors' HTTP shapes · `gateway` the loopback model API that answers from
the tape, or asks the agent's own model · `child` what runs inside the sandbox · `runner` one
program, many cases · `checks` predicates over a result · `trial` the arms of a patch and the
verdict.

Nothing here guesses: a request without a recorded reply and without a model to ask is
`unanswered`, and what depends on it is `unverifiable`.
"""
