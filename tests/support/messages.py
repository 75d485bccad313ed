"""Random messages of any type, as far as JSON can carry them."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from wakepoint.chassis.protojson import python_to_value

# NUL and lone surrogates are refused; so that they appear in tests of refusals and nowhere else, texts here have none.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(allow_nan=False, allow_infinity=False, width=32),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 3) -> Message:
    """A message of this type; deeper than `depth` nothing is set."""
    message: Any = GetMessageClass(descriptor)()
    match descriptor.full_name:
        case "google.protobuf.Timestamp":
            message.seconds = draw(st.integers(-62135596800, 253402300799))
            message.nanos = draw(st.integers(0, 999_999_999))
        case "google.protobuf.Duration":
            message.seconds = draw(st.integers(0, 315_576_000_000))
            message.nanos = draw(st.integers(0, 999_999_999))
        case "google.protobuf.FieldMask":
            message.paths.extend(draw(st.lists(st.sampled_from(["name", "graph", "adopt_newest"]), max_size=2)))
        case "google.protobuf.Struct":
            message.CopyFrom(python_to_value(draw(st.dictionaries(texts, _json, max_size=2))).struct_value)
        case "google.protobuf.Value":
            message.CopyFrom(python_to_value(draw(_json)))
        case _:
            for field in descriptor.fields:
                if draw(st.booleans()):
                    _set(draw, message, field, depth)
    assert isinstance(message, Message)
    return message


def _set(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    held = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of_value = field.message_type.fields_by_name["value"]
        for key in draw(st.lists(texts, max_size=2, unique=True)):
            if of_value.message_type is not None:
                held[key].CopyFrom(draw(messages(of_value.message_type, depth - 1)))
            else:
                held[key] = draw(scalars(of_value))
    elif field.message_type is not None and depth == 0:
        return
    elif field.is_repeated:
        of_item = scalars(field) if field.message_type is None else messages(field.message_type, depth - 1)
        held.extend(draw(st.lists(of_item, max_size=2)))
    elif field.message_type is not None:
        held.CopyFrom(draw(messages(field.message_type, depth - 1)))
        held.SetInParent()
    else:
        setattr(message, field.name, draw(scalars(field)))


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """A value of a field that is no message."""
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    return _WHOLE.get(field.cpp_type, texts)
