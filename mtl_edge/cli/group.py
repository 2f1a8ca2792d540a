"""The group of all commands: its help by subject, and what is said where a command ends early."""

from typing import Any

import click

from mtl_edge.errors import MtlEdgeError

_GOES_ON = {
    "run": "the same command goes on with the stage that was not finished",
    "train": "the same command goes on where the training stopped",
    "damage": "the same command goes on with what was not measured, unless it had --no-cache",
    "bench": "of folders and with --json, the same command goes on with the models that are not done",
}
"""Command -> what becomes of its work after Ctrl-C. The others begin anew."""


class Group(click.Group):
    """Errors that are the user's to mend are one line and exit code 2; tracebacks only with ``--debug``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.subjects: dict[str, tuple[str, ...]] = {}

    def add_subject(self, title: str, *commands: click.Command) -> None:
        """Add commands, which the help shows together and in this order."""
        for command in commands:
            self.add_command(command)
        self.subjects[title] = tuple(str(command.name) for command in commands)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the subjects."""
        return [name for names in self.subjects.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each subject, all of one width."""
        longest = max(map(len, self.commands))
        for title, names in self.subjects.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), self.commands[name].get_short_help_str(limit=80)) for name in names]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; 2 is the exit code of an error, 130 that of Ctrl-C."""
        try:
            return super().invoke(ctx)
        except MtlEdgeError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"mtl-edge: error: {error}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            goes_on = _GOES_ON.get(ctx.invoked_subcommand or "", "no file is half-written")
            click.echo(f"mtl-edge: interrupted; {goes_on}", err=True)
            ctx.exit(130)
