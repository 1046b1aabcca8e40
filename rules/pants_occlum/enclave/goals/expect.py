"""`occlum-expect`: writes what enclaves come to where their `expected_measurement` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pants.base.build_root import BuildRoot
from pants.engine.console import Console
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import Target, Targets

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.change import Change
from occlum_build.files.reading import read_file
from occlum_build.occlum.expected import differences, expected_bytes, read_expected
from occlum_build.occlum.measurement import first_of
from occlum_build.shown import escaped, listed
from pants_occlum.compat.by_name import collect_rules, goal_rule, implicitly
from pants_occlum.enclave.checked import CheckedEnclaveRequest, check_enclave_of
from pants_occlum.enclave.expected import GOAL, expected_path, made_of, refuse_both
from pants_occlum.enclave.nodes import EnclaveRequest, measured_enclave
from pants_occlum.enclave.target_types import ExpectedMeasurementField, ExpectedMrenclaveField
from pants_occlum.invalid import invalid_target
from pants_occlum.problems import enclave_errors
from pants_occlum.process.loaded_sources import LOADED


class OcclumExpectSubsystem(GoalSubsystem):
    name = GOAL
    help = (
        "Build enclaves, and write what they come to into the files that their "
        "`expected_measurement` names.\n\n"
        f"    ./pants {GOAL} path:enclave\n\n"
        "The files are to be kept with the source: `package` compares with them. What differs from "
        "the last one is told; a file that is right stays as it is. `mrsigner` null in a file "
        "stands for any signer, and stays."
    )


class OcclumExpect(Goal):
    subsystem_cls = OcclumExpectSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@dataclass(frozen=True)
class _Written:
    """What is to be in the file at a path, and what is told of it."""

    content: bytes
    is_new: bool
    told: tuple[str, ...]


@goal_rule
async def write_expected(targets: Targets, console: Console, run_id: RunId) -> OcclumExpect:
    LOADED.require_unchanged(run_id)
    root = Path(BuildRoot().path)
    found: dict[str, _Written] = {}
    for path, target in sorted(_by_path(targets).items()):
        with enclave_errors(target.address):
            enclave = await measured_enclave(EnclaveRequest(target.address))
            request = CheckedEnclaveRequest(target.address)
            made = made_of(await check_enclave_of(request, **implicitly()), enclave)
        found[path] = _written(root / path, made, f"{target.address}: MRENCLAVE")
    for one in found.values():  # told first: a goal that has printed is not begun again
        for line in one.told:
            console.print_stdout(escaped(line))
    for path, one in found.items():
        if one.is_new:
            _write(root / path, one.content)
        console.print_stderr(escaped(f"Wrote {path}" if one.is_new else f"{path} is right"))
    return OcclumExpect(exit_code=0)


def _by_path(targets: Iterable[Target]) -> dict[str, Target]:
    """The enclaves that name a file, by its path; an error of Pants where two name the same."""
    enclaves = [one for one in targets if one.has_field(ExpectedMeasurementField)]
    found: dict[str, Target] = {}
    for target in sorted(enclaves, key=lambda one: one.address):
        refuse_both(target[ExpectedMrenclaveField], target[ExpectedMeasurementField])
        path = expected_path(target[ExpectedMeasurementField])
        other = found.setdefault(path, target) if path else target
        if other is not target:
            raise invalid_target(
                f"{other.address} and {target.address} have one file, {path}, as "
                f"`{ExpectedMeasurementField.alias}`: give each its own."
            )
    if not found:
        named = listed([str(one.address) for one in enclaves]) or "no `occlum_enclave`"
        raise invalid_target(
            f"`{GOAL}` takes an `occlum_enclave` that says which file is to be written, as "
            f'`{ExpectedMeasurementField.alias}="app.measurement.json"`; named was {named}.'
        )
    return found


def _written(file: Path, made: Mapping[str, Any], what: str) -> _Written:
    old, before = None, b""
    with suppress(OcclumError):  # it is not there, or a conflict of a merge: it is written anew
        before = read_file(file, MANIFEST_BYTES)
        old = read_expected(before, str(file))
    content = expected_bytes(made, old)
    told = [f"{what} {made['mrenclave']}"]
    if old is not None and content != before:
        told += [f"  {line}" for line in first_of(differences(old, made))]
    return _Written(content, content != before, tuple(told))


def _write(file: Path, content: bytes) -> None:
    """Make the file hold the content, in one step."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with Change() as change:
            change.write(file, content)
            change.commit()
    except OSError as error:
        raise invalid_target(f"{GOAL} cannot write {file}: {error.strerror or error}") from None


def rules() -> Iterable[Rule]:
    return collect_rules()
