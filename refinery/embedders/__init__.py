"""Turns guide passages into vectors; one file, one embedder, named by the setting `embedder`.

A plug-in is a module with `create(option: str) -> Embedder` (see `refinery.ports`). The option is
what follows the plug-in's name and a colon in the setting, e.g. `hash:256`; empty means the
default. A plug-in downloads nothing unless the user names what to download. Its `name` says
everything its vectors depend on, because an index built under another name is not used.
"""
