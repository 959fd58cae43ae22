from langchain_core.tools import tool


@tool
def wind_speed(height: float) -> str:
    """Wind speed at a height."""
    if height < 10:
        return "error: the height must be given in metres, 10 or more"
    return f"The wind speed is {round(height / 50, 1)} knots."
