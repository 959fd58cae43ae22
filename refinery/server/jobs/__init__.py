"""Long work ordered over the API: each job in a process of its own, so it can fail alone.

`kinds` what can be ordered, and how it is done (in the child) · `child` the process · `running`
starts it and reads what it tells · `records` one file a job · `approvals` what a person is shown ·
`listening` streams of events · `board` who runs, who waits, limits.
"""
