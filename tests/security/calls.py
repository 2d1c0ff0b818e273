"""Every method that the server has, and a request of each, by the encoding alone."""

import contextlib

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

REFLECT = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# What a method does to the log that its request names, as docs/API.md says.
ACTIONS = {
    "/varve.v1.Log/Produce": "produce",
    "/varve.v1.Log/ProduceStream": "produce",
    "/varve.v1.Log/Consume": "consume",
    "/varve.v1.Log/ConsumeStream": "consume",
    "/varve.v1.Readers/CommitReader": "consume",
    "/varve.v1.Readers/GetReader": "consume",
    "/varve.v1.Readers/ListReaders": "consume",
    "/varve.v1.Readers/DeleteReader": "consume",
    "/varve.v1.Admin/CreateLog": "admin",
    "/varve.v1.Admin/UpdateLog": "admin",
    "/varve.v1.Admin/DeleteLog": "admin",
    "/varve.v1.Admin/DescribeLog": "admin",
    "/varve.v1.Admin/Trim": "admin",
    "/varve.v1.Admin/BackUp": "admin",
}
# The same of the log `default`.
OF_DEFAULT = {
    "/log.v1.Log/Produce": "produce",
    "/log.v1.Log/ProduceStream": "produce",
    "/log.v1.Log/Consume": "consume",
    "/log.v1.Log/ConsumeStream": "consume",
}
# Which the server makes and fills by itself.
AUDIT_LOG = "_audit"
LIST_LOGS, SERVER_INFO = "/varve.v1.Admin/ListLogs", "/varve.v1.Admin/GetServerInfo"
# For whoever has a name.
OPEN = {
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    REFLECT,
    REFLECT.replace(".v1.", ".v1alpha."),
}
ALL = {*ACTIONS, *OF_DEFAULT, *OPEN, LIST_LOGS, SERVER_INFO}


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """A field of bytes or text, or a whole number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def request(path, log=b"", reader="mine"):
    """A request about this log that does as little as it can."""
    method = path.rpartition("/")[2]
    if path in OF_DEFAULT:
        return field(1, field(1, b"x")) if "Produce" in method else b""
    if method in ("Produce", "ProduceStream"):
        return field(1, field(1, b"x")) + field(2, log)
    if method == "CommitReader":
        return field(1, log) + field(3, reader)
    if method in ("GetReader", "DeleteReader"):
        return field(1, log) + field(2, reader)
    if method == "DeleteLog":
        # An end that no log has.
        return field(1, log) + field(2, 1 << 40)
    if method == "Trim":
        return field(1, log) + field(3, 1)
    if method == "BackUp":
        # A name that no backup can have, which only those are told who may make one.
        return field(1, "no.part") + field(2, log)
    if path in ACTIONS:
        return field(1, log)
    if method == "ServerReflectionInfo":
        return field(7, "*")
    return b""


def ask(channel, path, message, timeout=20):
    """The first reply, or the error; of a stream only that much is taken."""
    try:
        if not path.endswith(("Stream", "Watch", "Info")) or path == SERVER_INFO:
            return channel.unary_unary(path)(message, timeout=timeout)
        if path.endswith(("ProduceStream", "Info")):
            replies = channel.stream_stream(path)(iter([message]), timeout=timeout)
        else:
            replies = channel.unary_stream(path)(message, timeout=timeout)
        with contextlib.closing(_Stream(replies)):
            return next(replies)
    except grpc.RpcError as error:
        return error


class _Stream:
    def __init__(self, call):
        self.close = call.cancel


def verdict(answer):
    """The code's name, the message, and the details' bytes."""
    if isinstance(answer, bytes):
        return "OK", "", b""
    trailers = dict(answer.trailing_metadata() or ())
    return answer.code().name, answer.details(), trailers.get("grpc-status-details-bin", b"")


def reflected(channel):
    """Every method that the server says it has, by its own reflection."""
    def reflect(message):
        reply = ask(channel, REFLECT, message.SerializeToString())
        return reflection_pb2.ServerReflectionResponse.FromString(reply)

    listed = reflect(reflection_pb2.ServerReflectionRequest(list_services="*"))
    found = set()
    for service in listed.list_services_response.service:
        told = reflect(reflection_pb2.ServerReflectionRequest(
            file_containing_symbol=service.name))
        for content in told.file_descriptor_response.file_descriptor_proto:
            parsed = FileDescriptorProto.FromString(content)
            found |= {f"/{parsed.package}.{one.name}/{method.name}" for one in parsed.service
                      if f"{parsed.package}.{one.name}" == service.name for method in one.method}
    return found
