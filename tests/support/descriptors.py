"""Descriptor sets of Protocol Buffers, as `protoc` writes them."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2

_OF = descriptor_pb2.FieldDescriptorProto
_IMPORTS = (timestamp_pb2, duration_pb2, struct_pb2, wrappers_pb2)


def field(name: str, number: int, kind: str, *, repeated: bool = False, optional: bool = False) -> _OF:
    """A field; `kind` is a scalar type, or the full name of a message (``.a.B``) or enum (``enum .a.B``)."""
    made = _OF(name=name, number=number, label=_OF.LABEL_REPEATED if repeated else _OF.LABEL_OPTIONAL)
    enum = kind.startswith("enum ")
    if "." in kind:
        made.type = _OF.TYPE_ENUM if enum else _OF.TYPE_MESSAGE
        made.type_name = kind.removeprefix("enum ")
    else:
        made.type = getattr(_OF, f"TYPE_{kind.upper()}")
    if optional:
        made.proto3_optional = True
        made.oneof_index = 0
    return made


def descriptor_set(*messages: descriptor_pb2.DescriptorProto, package: str = "plant", imports: bool = True) -> bytes:
    """The set of one file with these messages, and the files that it imports."""
    made = descriptor_pb2.FileDescriptorSet()
    for module in _IMPORTS if imports else ():
        made.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    file = made.file.add(name="plant.proto", package=package, syntax="proto3", message_type=messages)
    file.dependency.extend(module.DESCRIPTOR.name for module in _IMPORTS)
    return made.SerializeToString()


def reading() -> descriptor_pb2.DescriptorProto:
    """The message of the mapping guide."""
    state = descriptor_pb2.EnumDescriptorProto(name="State")
    state.value.add(name="OFF", number=0)
    state.value.add(name="ON", number=1)
    fields = (
        field("device", 1, "string"),
        field("temperature", 2, "float"),
        field("state", 3, "enum .plant.Reading.State"),
    )
    return descriptor_pb2.DescriptorProto(name="Reading", field=fields, enum_type=[state])
