"""English words too common to tell one text from another."""

_LIST = """
a an and are as at be but by can do does for from has have how i if in into is it its my no not of
on or so such that the their then there these they this to was were what when which why will with
you your
"""
COMMON = frozenset(_LIST.split())
