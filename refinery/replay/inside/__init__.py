"""What runs inside the sandbox, beside the agent: standard library and our own data model only.

`child` imports the agent once and runs the cases · `redirect` sends model requests to the
gateway and notices other network use · `models` serves models that send none · `stand_in`
serves tools and retrievers from the tape · `under_test` says which of them run for real ·
`scorer` calls checks written in Python · `after_import` applies a change to a library when, and
only when, the agent imports it.

Code of the agent shares this process, so nothing here is trusted by the other side: results are
read with caps, and judged outside.
"""
