"""The reference of targets, and of options: what Pants itself knows of them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Any

from pants.engine.goal import Goal
from pants.engine.target import Field, Target
from pants.help.help_info_extracter import TargetFieldHelpInfo
from pants.option.option_types import collect_options_info
from pants.option.subsystem import Subsystem

from docs_site.text import bullet, code, escaped, page
from occlum_build.version import VERSION
from pants_occlum import register

# Fields of every target, which Pants' own documentation has.
_COMMON = {"tags", "description"}


def targets_page() -> str:
    """Every target of the backend with its fields."""
    intro = (
        "The targets of the backend `pants_occlum` and their fields, as `./pants help TARGET` has "
        "them. All have `name`, `tags` and `description` besides. docs/images.md, docs/enclave.md "
        "and docs/oci.md show them at work."
    )
    return page("Targets", intro, *map(_target, register.target_types()))


def _target(target: type[Target]) -> str:
    fields = [one for one in target.core_fields if one.alias[0] != "_" and one.alias not in _COMMON]
    help_text = escaped(_text(target.help))
    return "\n\n".join([f"## `{target.alias}`", help_text, "\n".join(map(_field, fields))])


def _field(field: type[Field]) -> str:
    info = TargetFieldHelpInfo.create(field, provider="")
    kind = code(info.type_hint.replace(" | None", ""))
    if info.required:
        kind += ", required"
    elif info.default is not None:
        kind += f", default {code(_default(field.default))}"
    return bullet(f"**`{field.alias}`** ({kind})", info.description)


def options_page() -> str:
    """Every option of the backend, by its scope."""
    intro = (
        "Options of the backend `pants_occlum`, by their section of `pants.toml`, as `./pants "
        "help-advanced SECTION` has them. On the command line `[occlum] lock` is `--occlum-lock`, "
        "in the environment `PANTS_OCCLUM_LOCK`; of a goal's own options the command line may "
        "leave out the goal: `./pants occlum-size --max=...`."
    )
    return page("Options", intro, *map(_scope, scopes()))


def scopes() -> list[type[Subsystem]]:
    """The subsystems of the backend, goals too, by the names of their scopes."""
    found: set[type[Subsystem]] = set()
    for rule in register.rules():
        made = getattr(rule, "output_type", None)
        if isinstance(made, type) and issubclass(made, Goal):
            made = made.subsystem_cls
        if isinstance(made, type) and issubclass(made, Subsystem):
            found.add(made)
    ours = [one for one in found if one.__module__.startswith("pants_occlum.")]
    return sorted(ours, key=lambda one: str(one.options_scope))


def _scope(subsystem: type[Subsystem]) -> str:
    # Another version is no other reference.
    help_text = escaped(_text(subsystem.help).replace(f", by pants-occlum {VERSION}", ""))
    options = "\n".join(_options(subsystem)) or "It has no options of its own."
    return "\n\n".join([f"## `[{subsystem.options_scope}]`", help_text, options])


def _options(subsystem: type[Subsystem]) -> Iterator[str]:
    for info in collect_options_info(subsystem):
        flags: dict[str, Any] = dict(info.flag_options)
        name = info.flag_names[-1].lstrip("-").replace("-", "_")
        kind = flags["type"]
        hint = code("list of str" if kind is list else kind.__name__)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            hint = " or ".join(code(str(one.value)) for one in kind)
        default = flags.get("default")
        if default is not None:
            hint += f", default {code(_default(default))}"
        if flags.get("advanced"):
            hint += ", advanced"
        yield bullet(f"**`{name}`** ({hint})", _text(flags.get("help", "")))


def _default(value: object) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, Iterable) and not isinstance(value, (str, dict)):
        value = list(value)
    return repr(value)


def _text(text: Any) -> str:
    return str(text() if callable(text) else text).strip()
