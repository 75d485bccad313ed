"""docs/operating.md says what the code does."""

import re
from pathlib import Path

import pytest

from runner_service.domain.verification import FindingKind
from runner_service.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
ROWS = {
    name: (default, what)
    for name, default, what in re.findall(r"^\| `(RUNNER_\w+)` \| (.*?) ?\| (.+) \|$", PAGE, re.MULTILINE)
}


def test_the_page_has_every_setting_and_no_other() -> None:
    assert list(ROWS) == [f"RUNNER_{name.upper()}" for name in Settings.model_fields]
    assert set(re.findall(r"`(RUNNER_\w+)`", PAGE)) <= set(ROWS)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_has_its_default_and_its_description_on_the_page(name: str) -> None:
    field = Settings.model_fields[name]
    default, what = ROWS[f"RUNNER_{name.upper()}"]
    assert what == (field.description or what)
    if field.is_required():
        assert default == "required"
    elif field.default_factory is None and not isinstance(field.default, str | bool | int | float | None):
        assert default  # a secret
    elif field.default in (None, ""):
        assert default == ""
    elif field.default_factory is None:
        shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        assert default == f"`{shown.lower() if isinstance(field.default, bool) else shown}`"


def test_the_page_tells_of_every_finding_and_of_no_other() -> None:
    assert re.findall(r"^\| `([A-Z_]+)` \|", PAGE.split("## What is removed")[0], re.MULTILINE) == list(FindingKind)
