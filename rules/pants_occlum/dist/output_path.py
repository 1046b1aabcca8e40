"""`output_path`: where below dist `package` puts what it makes of a target."""

from __future__ import annotations

import posixpath
from typing import Optional

from pants.core.goals.package import OutputPathField
from pants.engine.addresses import Address
from pants.util.strutil import help_text

from occlum_build.errors import OcclumError
from pants_occlum.dist.path import real_directory
from pants_occlum.dist.places import DistPlaces
from pants_occlum.invalid import invalid_field

# Pants' help reads this hint at run time, when Python 3.9 cannot join types with `|`.
_Text = Optional[str]


class DistPathField(OutputPathField):
    """A directory below dist, for trees whose sync removes what does not belong there."""

    help = help_text(
        """
        The directory below `dist/`, as a relative path without `..`. Default: as for other targets,
        `path.to.dir/name`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _Text, address: Address) -> _Text:
        value = super().compute_value(raw_value, address)
        if value is not None:
            cls._check(value, address)
        return value

    def value_or_default(self, *, file_ending: str | None) -> str:
        path = super().value_or_default(file_ending=file_ending)
        # Again, as this has the name of the target in it, which may be `..`.
        self._check(path, self.address)
        return posixpath.normpath(path)

    def in_dist(self, places: DistPlaces) -> str:
        """The path of the directory below dist. InvalidFieldException where links lead out."""
        path = self.value_or_default(file_ending=None)
        try:
            real_directory(places.dist_dir, path)
        except OcclumError as error:
            raise invalid_field(
                f"The {self.alias!r} field in target {self.address} cannot be used: {error}"
            ) from None
        return path

    @classmethod
    def _check(cls, path: str, address: Address) -> None:
        mistake = _mistake(path)
        if mistake:
            raise invalid_field(
                f"The {cls.alias!r} field in target {address} must be a path below the "
                f"distribution directory (`dist/`), but {path!r} {mistake}. Write a relative path "
                "without `..`, such as 'team/app', or leave the field out for 'path.to.dir/name'."
            )


def _mistake(path: str) -> str:
    """What is wrong with a path below dist, empty if nothing is."""
    parts = set(path.split("/"))
    if path.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "has `..` in it"
    if parts <= {"", "."}:
        return "names no directory in it"
    if "\\" in path:
        return "has a backslash in it"
    if not path.isprintable():
        return "has characters that cannot be printed"
    return ""
