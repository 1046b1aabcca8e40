from __future__ import annotations

import pytest
from pants.engine.target import Target
from pants.help.help_info_extracter import TargetFieldHelpInfo

from pants_occlum.register import target_types


@pytest.mark.parametrize("target", target_types(), ids=lambda target: str(target.alias))
def test_every_field_has_help(target: type[Target]) -> None:
    helps = {
        field.alias: TargetFieldHelpInfo.create(field, provider="occlum")
        for field in target.core_fields
    }
    assert {alias for alias, one in helps.items() if not one.description} == set()
    if target.alias == "occlum_enclave":
        assert helps["expected_mrenclave"].type_hint == "str | None"
        assert helps["image"].required
