from uuid import UUID

import pytest

from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.ids import is_id, new_id, parse_id


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert {UUID(text).version for text in ids} == {7}


def test_an_id_is_brought_into_its_canonical_form() -> None:
    text = new_id()
    assert parse_id(text.upper(), "run_id") == text


AN_ID = "01a20223-adcc-71ab-abba-10d250590121"


@pytest.mark.parametrize("text", ["", "r1", "{" + AN_ID + "}", AN_ID.replace("-", ""), AN_ID + "\n", " " * 36])
def test_what_is_no_id_names_its_field(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(InvalidArgument) as caught:
        parse_id(text, "run_id")
    assert caught.value.violations[0].field == "run_id"
