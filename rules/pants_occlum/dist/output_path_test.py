from __future__ import annotations

from pathlib import Path

import pytest
from pants.core.goals.package import OutputPathField
from pants.engine.addresses import Address
from pants.engine.target import InvalidFieldException

from occlum_build.shown import quoted
from pants_occlum import register
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.testing import Project

ADDRESS = Address("app/api", target_name="it")
FIELDS = {
    target.alias: field
    for target in register.target_types()
    for field in target.core_fields
    if issubclass(field, OutputPathField)
}
MISTAKES = {
    "": "names no directory in it",
    ".": "names no directory in it",
    "./": "names no directory in it",
    "/tmp/out": "is absolute",
    "//": "is absolute",
    "..": "has `..` in it",
    "../../out": "has `..` in it",
    "a/../b": "has `..` in it",
    "a/..": "has `..` in it",
    "${spec_path_normalized}/../out": "has `..` in it",
    "a\\b": "has a backslash in it",
    "a\0b": "has characters that cannot be printed",
    "a\n": "has characters that cannot be printed",
    "a\udc80": "has characters that cannot be printed",
}


def test_every_target_with_an_output_path_has_one_that_is_checked() -> None:
    assert sorted(FIELDS) == [
        "occlum_enclave",
        "occlum_image",
        "occlum_rootfs",
        "oci_image",
        "rune_bundle",
    ]
    assert [alias for alias, field in FIELDS.items() if not issubclass(field, DistPathField)] == []


@pytest.mark.parametrize("value", MISTAKES)
@pytest.mark.parametrize("alias", FIELDS)
def test_path_that_is_not_below_dist(alias: str, value: str) -> None:
    with pytest.raises(InvalidFieldException) as caught:
        FIELDS[alias](value, ADDRESS)
    assert str(caught.value) == (
        "The 'output_path' field in target app/api:it must be a path below the distribution "
        f"directory (`dist/`), but {quoted(value)} {MISTAKES[value]}. Write a relative path "
        "without `..`, such as 'team/app', or leave the field out for 'path.to.dir/name'."
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, "app.api/it"),
        ("out", "out"),
        ("a b/ü/..c/d..", "a b/ü/..c/d.."),
        ("...", "..."),
        ("./out//x/./y/", "out/x/y"),
    ],
)
@pytest.mark.parametrize("alias", FIELDS)
def test_path_below_dist(alias: str, value: str | None, path: str) -> None:
    field = FIELDS[alias](value, ADDRESS)
    assert field.value == value
    assert field.value_or_default(file_ending=None) == path


@pytest.mark.parametrize(
    "address", [Address("", target_name=".."), Address("app", target_name="..")]
)
def test_name_of_a_target_that_leads_out(address: Address) -> None:
    with pytest.raises(InvalidFieldException, match=r"'(app/)?\.\.' has `\.\.` in it"):
        DistPathField(None, address).value_or_default(file_ending=None)


@pytest.mark.parametrize("formats", [["dir"], ["tar"]])
def test_link_in_dist_is_an_error_that_names_target_and_field(
    tmp_path: Path, formats: list[str]
) -> None:
    project = Project(tmp_path)
    kept = tmp_path / "outside/it/image/kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    (project.root / "dist").mkdir()
    (project.root / "dist/app").symlink_to(tmp_path / "outside")
    build = f"""
        occlum_files(name="files", target="/", mkdirs=["tmp"])
        occlum_image(name="it", boms=[":files"], formats={formats})
        """
    project.write({"app/BUILD": build})
    error = project.failure("app:it")
    assert "The 'output_path' field in target app:it cannot be used: " in error
    assert f"{project.root}/dist/app/it: leads to {tmp_path}/outside/it, which is not" in error
    assert [path.name for path in (tmp_path / "outside").rglob("*")] == ["it", "image", "kept"]


@pytest.mark.parametrize(
    "target",
    ['occlum_image(name="it", boms=[":b"])', 'rune_bundle(name="it", image=":i", args=["/x"])'],
)
def test_link_in_dist_is_told_before_anything_is_built(tmp_path: Path, target: str) -> None:
    project = Project(tmp_path)
    (project.root / "dist").mkdir()
    (project.root / "dist/app").symlink_to(tmp_path)
    broken = 'occlum_files(name="b", files=["/missing"])\nocclum_image(name="i", boms=[":b"])\n'
    project.write({"app/BUILD": f"{broken}{target}\n"})
    assert project.failure("app:it").startswith("The 'output_path' field in target app:it cannot")
