"""The reference of the command line, made of its parsers: argparse's text changes with CPython."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from docs_site.text import bullet, code, escaped, page
from occlum_build.cli import main


def commands_page() -> str:
    """Every verb of `occlum-build` with its arguments and options."""
    intro = (
        "The verbs of `occlum-build`, as `occlum-build VERB --help` has them. docs/enclave.md, "
        "docs/bom.md, docs/insight.md and docs/run.md show them at work. Where nothing else is "
        "said, a run ends with 0, with 1 after an error, and with 2 where the usage was wrong; "
        "docs/bom.md has the exit codes of `copy-bom`. Much of the same is there under Occlum's "
        "own names, `copy_bom` and `occlum`, for scripts: docs/switch.md."
    )
    return page("Commands", intro, *map(_section, verbs()))


def verbs() -> list[tuple[argparse.ArgumentParser, str]]:
    """The parsers of all verbs, of verbs within verbs too, each with its line in `--help`."""
    return list(_verbs_of(main._parser([])))


def _verbs_of(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            for name, verb in action.choices.items():
                yield verb, helps.get(name, "")
                yield from _verbs_of(verb)


def _section(verb: tuple[argparse.ArgumentParser, str]) -> str:
    parser, line = verb
    actions = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]
    named = [one for one in actions if one.option_strings]
    others = [one for one in actions if not one.option_strings]
    options = ["[OPTIONS]"] if named else []
    usage = " ".join([parser.prog, *options, *(_argument(one) for one in others)])
    text = parser.description or f"{line[:1].upper()}{line[1:]}."
    parts = [f"## `{parser.prog}`", f"```\n{usage}\n```", escaped(text)]
    if all(isinstance(one, argparse._SubParsersAction) for one in others):
        others = []
    parts.append("\n".join([*map(_bullet, others), *map(_bullet, named)]))
    parts.append(escaped(parser.epilog or ""))
    return "\n\n".join(filter(None, parts))


def _argument(action: argparse.Action) -> str:
    name = _names(action)
    if action.nargs == argparse.REMAINDER:
        return f"[{name} ...]"
    if action.nargs in ("?", "*"):
        return f"[{name}]" if action.nargs == "?" else f"[{name} ...]"
    return f"{name} [{name} ...]" if action.nargs == "+" else name


def _names(action: argparse.Action) -> str:
    """What stands for the value of an action in its usage."""
    if action.metavar is not None:
        names = action.metavar
        return names if isinstance(names, str) else " ".join(names)
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def _bullet(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else _argument(action)
    if not action.option_strings:
        return bullet(f"**`{_names(action)}`**", action.help or "")
    spelled = ", ".join(code(f"{option} {value}".strip()) for option in action.option_strings)
    return bullet(f"**{spelled}**" + (" (required)" if action.required else ""), action.help or "")
