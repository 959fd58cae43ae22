def prompt_for(name, amount):
    """What the clerk is told about one pensioner."""
    facts = "You write for the Harbour Pension Fund.\n[1] The pension of {name} is {amount} crowns a month."
    return facts
