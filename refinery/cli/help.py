"""How a command's help page is laid out: what it does, examples, then the options."""

from typing import Any

from typer.core import TyperCommand


class CommandPage(TyperCommand):
    """A command whose epilog begins with `Examples:`; its indented lines stand before the options.

    What follows the examples without indentation is shown at the end of the page.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        lines = (self.epilog or "").splitlines()
        examples = [line.strip() for line in lines if line.startswith("  ")]
        rest = [line for line in lines if not line.startswith("  ") and line != "Examples:"]
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        if examples:
            with formatter.section("Examples"):
                for example in examples:
                    # Written as it is: a command cut into lines could not be copied.
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        self.format_options(ctx, formatter)
        if text := "\n".join(rest).strip():
            formatter.write_paragraph()
            formatter.write_text(text)


def examples(*lines: str) -> dict[str, Any]:
    r"""Settings of a command of a group that has these examples.

    >>> examples("refinery checks list")["epilog"]
    'Examples:\n\n  refinery checks list'
    """
    return {"cls": CommandPage, "epilog": "\n\n  ".join(("Examples:", *lines))}
