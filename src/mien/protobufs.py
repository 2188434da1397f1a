"""Protobuf messages from a few lines of schema, so that foreign files are read by the protobuf library itself.

The schema is proto2 or proto3, one field or enum value a line, without semicolons and braces. A map field is written as
what it is on the wire: a repeated entry with a key (1) and a value (2). Fields left out are skipped in a file.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = re.compile(
    r"(optional|repeated) (\w+) (\w+) = (\d+)(?: \[default = (\S+)\])?$"
)
_Field = descriptor_pb2.FieldDescriptorProto


def message_classes(
    schema: str, package: str, syntax: str = "proto2"
) -> dict[str, Any]:
    """The message classes of a schema, by name, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax=syntax
    )
    for block in re.split(r"\n(?=message |enum )", schema.strip()):
        head, *lines = (line.strip() for line in block.splitlines() if line.strip())
        kind, name = head.split()
        if kind == "message":
            _add_message(file, name, lines)
            continue
        # Values are named within the enum's own scope, so that two enums may use one name.
        scope = file.message_type.add(name=f"{name}Scope")
        enum = scope.enum_type.add(name=name)
        for line in lines:
            value, _, number = line.partition(" = ")
            enum.value.add(name=value, number=int(number))
    _resolve(file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = [message.name for message in file.message_type]
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{package}.{name}")
        )
        for name in names
    }


def _add_message(file: Any, name: str, lines: list[str]) -> None:
    message = file.message_type.add(name=name)
    for line in lines:
        match = _FIELD.match(line)
        if match is None:
            raise ValueError(f"schema of {name}: {line!r} is no field")
        label, kind, field_name, number, default = match.groups()
        field = message.field.add(name=field_name, number=int(number), type_name=kind)
        field.label = getattr(_Field, f"LABEL_{label.upper()}")
        if default is not None:
            field.default_value = default


def _resolve(file: Any) -> None:
    """Turns the word in `type_name` into a scalar type, or into the full name of a message or an enum."""
    enums = {
        enum.name: f".{file.package}.{scope.name}.{enum.name}"
        for scope in file.message_type
        for enum in scope.enum_type
    }
    for message in file.message_type:
        for field in message.field:
            word = field.type_name
            scalar = getattr(_Field, f"TYPE_{word.upper()}", None)
            if scalar is not None:
                field.ClearField("type_name")
                field.type = scalar
            elif word in enums:
                field.type, field.type_name = _Field.TYPE_ENUM, enums[word]
            else:
                field.type, field.type_name = (
                    _Field.TYPE_MESSAGE,
                    f".{file.package}.{word}",
                )
