"""The command line: one group per noun, each imported only when it is used."""

from __future__ import annotations

from importlib import import_module

import click

from specsci.core.version import __version__

NOUNS = {
    "study": ("specsci.cli.study:study", "Check, plan, run and watch studies."),
    "tune": ("specsci.cli.tune:tune", "Search training settings, the same budget for every arm."),
    "spec": ("specsci.cli.spec:spec", "Read, check and compare spec variants; change control."),
    "corpus": ("specsci.cli.corpus:corpus", "Look at the texts a study generated, and export them."),
    "results": ("specsci.cli.results:results", "Query, compare, import and export results.duckdb."),
    "report": ("specsci.cli.report:report", "Tables, figures, pages and cards of a study's answers."),
    "model": ("specsci.cli.model:model", "Take trained models out of a store."),
    "store": ("specsci.cli.store:store", "Space, what may go, and bringing stores together."),
    "microlab": ("specsci.cli.microlab:microlab", "The embedded toy world and its base models."),
    "init": ("specsci.cli.init:init", "Write a small study to begin with."),
    "doctor": ("specsci.cli.doctor:doctor", "Check this installation and a store."),
}


class LazyGroup(click.Group):
    """Knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The nouns, in the order of the help."""
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a noun, imported now; None where there is none."""
        if cmd_name not in NOUNS:
            return None
        module, name = NOUNS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of nouns with their one-line helps."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in NOUNS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; an unknown one is refused with the nearest noun."""
        if args and args[0] not in NOUNS and not args[0].startswith("-"):
            from specsci.core.errors import nearest

            raise click.UsageError(f"no command '{args[0]}'; {nearest(args[0], NOUNS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="specsci")
def cli() -> None:
    """Experiments on model specs: from one study file to an ablation table.

    Start with `specsci study run value_vs_rules.yaml`.
    """


def main() -> None:
    """The entry point: every end of a command is an exit code and a sentence (see `specsci.cli.guard`)."""
    from specsci.cli.guard import guarded, leave

    leave(guarded(lambda: cli(standalone_mode=False)))
