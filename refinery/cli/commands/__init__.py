"""One command a file: its first docstring line is its help, its function `command` runs it.

A command takes `ctx: typer.Context` first, `output.JsonOption` as `json_output`, and hands what
it found to `output.emit`. Names that Python reserves end with an underscore (`import_.py` is the
command `import`). Errors are raised, never printed: `cli.main` prints them.
"""
