"""Kinds of edits, one file each; `refinery.codebase.splices` states what a file must have."""
