"""What to write into BUILD files, for the BOMs of a project and what its scripts do with them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from occlum_build.errors import OcclumError, Problem
from occlum_build.sgx.config import check, default_config, parse_json
from occlum_build.sgx.config.jsontext import plain
from occlum_build.switch.build_file import Target, build_file
from occlum_build.switch.jq import merge_patch
from occlum_build.switch.model import BomUse, Instance, Script, Told
from occlum_build.switch.names import Names, address, target_name
from occlum_build.switch.places import ROOT
from occlum_build.switch.script import read_script
from occlum_build.switch.sources import Sources, sources_of
from occlum_build.switch.tree import Tree

_WORKSPACE = "occlum_instance"


@dataclass(frozen=True)
class BuildFile:
    """The text of a BUILD file; `there`: the one that the directory has, "" for none."""

    path: str
    text: str
    there: str


class Enclave(NamedTuple):
    """An enclave that was translated, and the script that made it."""

    address: str
    script: str
    line: int


@dataclass
class Plan:
    """All that `init-pants` has to say."""

    files: list[BuildFile] = field(default_factory=list)
    enclaves: list[Enclave] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)


def plan(tree: Tree) -> Plan:
    """Look at all of a tree, and run nothing of it."""
    return _Planner(tree).plan()


class _Planner:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.result = Plan()
        self.targets: dict[str, list[Target]] = {}  # by directory
        self.names: dict[str, Names] = {}
        self.bom_addresses: dict[str, str] = {}
        self.sources = Sources(tree)

    def plan(self) -> Plan:
        for path, text in sorted(self.tree.scripts.items()):
            script = read_script(path, text, self.tree)
            self.result.scripts.append(script)
            self.result.told += script.told
        for path, why in sorted(self.tree.unread.items()):
            todo = "have it readable and smaller, or write its targets by hand"
            self.result.told.append(Told(path, 1, "", why, todo))
        instances = [one for script in self.result.scripts for one in script.instances]
        self.add_boms(instances)
        for directory, of_directory in self.by_directory(instances):
            self.add_enclaves(directory, of_directory)
        for directory, patterns in sorted(self.sources.patterns.items()):
            name = self.name(directory, "files")
            fields = {"name": name, "sources": sorted(patterns)}
            self.targets.setdefault(directory, []).append(Target("files", fields))
        self.result.told += self.sources.told
        self.result.told = list(dict.fromkeys(self.result.told))
        for directory, targets in sorted(self.targets.items()):
            there = self.tree.build_files.get(directory, "")
            path = posixpath.join(directory, "BUILD")
            self.result.files.append(BuildFile(path, build_file(targets), there))
        return self.result

    def name(self, directory: str, *wanted: str) -> str:
        """The first name that no target of the directory has."""
        return self.names.setdefault(directory, Names()).take(*wanted)

    def add_boms(self, instances: Iterable[Instance]) -> None:
        """A target for each BOM; how it is used is told by the first script that uses it."""
        uses: dict[str, tuple[BomUse, Instance]] = {}
        for instance in instances:
            for use in (*instance.boms, *instance.initfs):
                first = uses.setdefault(use.path, (use, instance))
                if first[0] != use:
                    why = (
                        f"elsewhere {use.path} is used with other variables or include directories"
                    )
                    todo = f"its target has those of {first[1].script}; add another occlum_bom"
                    self.tell(instance, why, todo)
        for path in sorted(self.tree.boms):
            directory, file = posixpath.split(path)
            fields: dict[str, Any] = {
                "name": self.name(directory, target_name(file)),
                "source": file,
            }
            if path in uses:
                fields.update(self.fields_of_use(*uses[path]))
            self.bom_addresses[path] = address(directory, str(fields["name"]))
            self.targets.setdefault(directory, []).append(Target("occlum_bom", fields))

    def fields_of_use(self, use: BomUse, instance: Instance) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if use.include_dirs:
            fields["include_dirs"] = list(use.include_dirs)
        workspace = self.workspace(use, instance)
        variables = {name: _below(value, workspace) for name, value in use.variables.items()}
        needed = sources_of(self.sources, replace(use, variables=variables), workspace)
        for name in (one for one in needed if one not in variables):
            why = f"the BOM {use.path} needs ${name}, whose value cannot be told"
            todo = f"write `{name}=value` into `env` of its target, or set it where Pants runs"
            self.tell(instance, why, todo)
        if needed:
            fields["env"] = [
                f"{name}={variables[name]}" if name in variables else name for name in needed
            ]
        if posixpath.dirname(workspace) != posixpath.dirname(use.path):
            fields["workspace"] = workspace
        return fields

    def workspace(self, use: BomUse, instance: Instance) -> str:
        directory = instance.directory
        known = directory is not None and not directory.startswith("/")
        home = posixpath.dirname(use.path)
        found = directory if known and directory is not None else posixpath.join(home, _WORKSPACE)
        # Below another instance is where a condition misleads.
        return (
            found if found.count("/") <= home.count("/") + 1 else posixpath.join(home, _WORKSPACE)
        )

    def by_directory(self, instances: Iterable[Instance]) -> Iterable[tuple[str, list[Instance]]]:
        found: dict[str, list[Instance]] = {}
        filled = {one.directory for one in instances if one.boms}
        for instance in instances:
            if not instance.boms and not instance.is_built and instance.directory in filled:
                continue  # another script fills and builds it
            if not instance.boms:
                why = "no BOM fills the image of this instance"
                todo = "write a BOM of what the script copies into it, and run this again"
                self.tell(instance, why, todo)
                continue
            found.setdefault(posixpath.dirname(instance.boms[0].path), []).append(instance)
        return sorted(found.items())

    def add_enclaves(self, directory: str, instances: list[Instance]) -> None:
        """An image and an enclave for each instance that is not as one before."""
        images: dict[str, str] = {}
        enclaves: dict[str, str] = {}
        made = {self.key(one, self.boms_of(one)) for one in instances}
        several_images = len({key[0] for key in made}) > 1
        for instance in instances:
            boms = self.boms_of(instance)
            stem = target_name(posixpath.basename(instance.boms[-1].path))
            script = target_name(posixpath.basename(instance.script))
            key_of_image, key = self.key(instance, boms)
            if key_of_image not in images:
                named = (f"{stem}_image",) if several_images else ("image", f"{stem}_image")
                images[key_of_image] = self.add_image(directory, named, instance, boms)
            if key in enclaves:
                again = Enclave(address(directory, enclaves[key]), instance.script, instance.line)
                if again not in self.result.enclaves:
                    self.result.enclaves.append(again)
                continue
            several = several_images or len(made) > 1
            wanted = (f"{stem}_enclave", f"{stem}_{script}_enclave") if several else ("enclave",)
            name = self.name(directory, *wanted)
            enclaves[key] = name
            fields = {"name": name, "image": f":{images[key_of_image]}"}
            fields.update(self.fields_of(directory, instance))
            self.targets.setdefault(directory, []).append(Target("occlum_enclave", fields))
            found = Enclave(address(directory, name), instance.script, instance.line)
            self.result.enclaves.append(found)

    def key(self, instance: Instance, boms: list[str]) -> tuple[str, str]:
        image = json.dumps([boms, sorted(set(instance.mkdirs))])
        initfs = [one.path for one in instance.initfs]
        rest = [instance.config, instance.config_file, instance.options, initfs]
        return image, json.dumps([image, rest], sort_keys=True)

    def boms_of(self, instance: Instance) -> list[str]:
        """Without those that another one is used twice of; the last use counts."""
        return list(dict.fromkeys(one.path for one in reversed(instance.boms)))[::-1]

    def add_image(
        self, directory: str, wanted: tuple[str, ...], instance: Instance, boms: list[str]
    ) -> str:
        name = self.name(directory, *wanted)
        addresses = [self.relative(directory, self.bom_addresses[path]) for path in boms]
        if instance.mkdirs:
            mkdirs = self.name(directory, f"{name}_directories")
            fields = {"name": mkdirs, "target": "/", "mkdirs": sorted(set(instance.mkdirs))}
            self.targets.setdefault(directory, []).append(Target("occlum_files", fields))
            addresses.append(f":{mkdirs}")
        fields = {"name": name, "boms": addresses}
        self.targets.setdefault(directory, []).append(Target("occlum_image", fields))
        return name

    def relative(self, directory: str, found: str) -> str:
        own, _, name = found.rpartition(":")
        return f":{name}" if own in (directory, f"//{directory}") else found

    def fields_of(self, directory: str, instance: Instance) -> Mapping[str, Any]:
        """The fields of an enclave, but for name and image."""
        fields: dict[str, Any] = {}
        base: Any = plain(default_config())
        if instance.config_file:
            base = self.tree.configs[instance.config_file]
            path = posixpath.relpath(instance.config_file, directory or ".")
            if path.startswith("../"):
                why = f"{instance.config_file} is not below the BUILD file of the enclave"
                self.tell(instance, why, "move it there, or the target to it")
            fields["config_file"] = path
        patch = merge_patch(base, instance.config)
        if patch:
            fields["config"] = patch
        problems = _mistakes(instance, strict=True)
        if problems and not _mistakes(instance, strict=False):
            fields["strict"] = False
        for problem in problems:
            self.tell(
                instance, f"Occlum.json: {problem.message}", problem.hint or "change the value"
            )
        if instance.initfs:
            boms = [
                self.relative(directory, self.bom_addresses[one.path]) for one in instance.initfs
            ]
            name = self.name(directory, "initfs", f"{target_name(instance.initfs[0].path)}_initfs")
            target = Target("occlum_image", {"name": name, "boms": boms})
            self.targets.setdefault(directory, []).append(target)
            fields["initfs"] = f":{name}"
        return {**fields, **instance.options}

    def tell(self, instance: Instance, why: str, todo: str) -> None:
        text = self.tree.scripts[instance.script].splitlines()
        line = text[instance.line - 1].strip()[:120] if instance.line <= len(text) else ""
        self.result.told.append(Told(instance.script, instance.line, line, why, todo))


def _below(value: str, workspace: str) -> str:
    """A value that is a path in the project, relative to where a BOM's sources start."""
    if value != ROOT and not value.startswith(f"{ROOT}/"):
        return value
    return posixpath.relpath(value, posixpath.join(ROOT, workspace))


def _mistakes(instance: Instance, *, strict: bool) -> tuple[Problem, ...]:
    """What the build of the enclave would say of its configuration."""
    document = parse_json(json.dumps(instance.config).encode(), instance.script)
    edmm = bool(instance.options.get("edmm"))
    try:
        check(document, edmm=edmm, strict=strict)
    except OcclumError as error:
        return error.problems
    return ()
