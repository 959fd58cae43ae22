from form import fill


def answer(request):
    if not request["letter"]:
        return {"toy": "", "age": 0}
    toy, age = fill(request["letter"])
    return {"toy": toy, "age": age}
