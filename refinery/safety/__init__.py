"""What stands between untrusted text and the user's machine, repository and secrets.

`untrusted`  shows hidden characters, fences quoted data for prompts
`redact`     takes secrets out of JSON
`policy`     the guard: runs every file of `rules/` on the final bytes of a patch
`approval`   permission for one exact patch, once, before it expires
`ledger`     append-only record, each entry hashed over the one before
`sandbox`    runs code that is not trusted, and says how firmly it is held

Deterministic code decides here, a model never. What cannot be decided is refused.
"""
