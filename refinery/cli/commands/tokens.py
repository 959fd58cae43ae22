"""Give users of `refinery serve` tokens that open their own traces only."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.cli.help import examples

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.server.grants import Grant, Grants

app = typer.Typer(
    name="tokens",
    help="Give users of `refinery serve` tokens that open their own traces only.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="""Examples:

  refinery tokens add --user ada --project shop --days 30

  refinery tokens list

  refinery tokens revoke token-8c1f0a2b
""",
)


@app.callback()
def group() -> None:
    """Give users of `refinery serve` tokens that open their own traces only."""


@app.command(**examples("refinery tokens add --user ada --project shop --days 30 --note laptop"))
def add(
    user: Annotated[str, typer.Option(help="Whose traces it opens, as `refinery users` says it.")],
    project: Annotated[
        str | None, typer.Option(help="The only project of theirs that it opens; default: all.")
    ] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")] = "",
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="How long it holds; default: until it is revoked."),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Make a token and print it; it is shown this once, and kept as a hash.

    It reads the user's traces and writes feedback on them; everything else answers 403. A trace is
    a user's when every run at its top names that user and no run names another. A server that runs
    takes it from its next request on.
    """
    kept = _grants()
    grant, token = kept.add(user, project, note, days)
    document = {**_document(grant), "token": token}
    output.emit(document, json_output, lambda screen: screen.print(token))
    where = f" in project {grant.project!r}" if grant.project is not None else ""
    output.note(
        f"{grant.token_id} opens the traces of {grant.user!r}{where}; it is not shown again"
    )
    output.note(f"its hash is kept in {kept.path}: what a `refinery serve` of this folder reads")
    output.note("who may send traces may say whose they are: see `refinery serve --api-key-file`")


@app.command(name="list", **examples("refinery tokens list", "refinery tokens list --json"))
def list_(json_output: output.JsonOption = False) -> None:
    """List tokens, the oldest first; never the tokens themselves."""
    kept = _grants()
    grants = kept.all()
    document = {"tokens": [_document(one) for one in grants]}
    output.emit(document, json_output, lambda screen: _show(grants, screen))
    if not grants:
        output.note(f"no tokens in {kept.path}; the owner's is the one `refinery serve` prints")


@app.command(**examples("refinery tokens revoke token-8c1f0a2b"))
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `refinery tokens list` says.")],
    json_output: output.JsonOption = False,
) -> None:
    """Take a token back; a server that runs refuses it from its next request on.

    Exit code 5 when there is none of that id.
    """
    grant = _grants().revoke(token_id)
    output.emit(
        {"revoked": grant.token_id},
        json_output,
        lambda screen: screen.print(output.safe(f"{grant.token_id} opens nothing any more")),
    )


def _grants() -> "Grants":
    from refinery.server.grants import Grants
    from refinery.workflows.wiring import state_folder

    return Grants(state_folder())


def _document(grant: "Grant") -> dict[str, Any]:
    return {
        "id": grant.token_id,
        "user": grant.user,
        "project": grant.project,
        "note": grant.note,
        "created": output.iso_time(grant.created_ms * 10**6),
        "expires": None if grant.expires_ms is None else output.iso_time(grant.expires_ms * 10**6),
        "expired": grant.is_expired(),
    }


def _show(grants: "list[Grant]", screen: "Console") -> None:
    if not grants:
        return
    columns = ("id", "user", "project", "note", "created", "expires")
    rows = []
    for one in map(_document, grants):
        expires = "expired" if one["expired"] else one["expires"] or "never"
        about = (one["id"], one["user"], one["project"] or "(all)", one["note"])
        rows.append((*about, one["created"], expires))
    output.table(screen, columns, rows)
