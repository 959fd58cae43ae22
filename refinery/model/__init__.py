"""Plain data every floor may use: traces, failures, patches, verdicts. Standard library only.

`trace` what happened · `messages` the conversation inside a run · `merge` how partial runs join ·
`walk` the tree · `failure` what went wrong · `patch` what to change · `verdict` what the evidence
says · `codec` to and from JSON.
"""
