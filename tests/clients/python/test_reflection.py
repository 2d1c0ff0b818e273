"""The server's own description of its interface, read with the standard reflection client: a client
that has no file of ours can make every call."""

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from rig import PATIENCE_S, ServerCase, cases, credentials

SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "log.v1.Log",
    "varve.v1.Log",
}


class Reflection(ServerCase):
    def channel(self, who="root"):
        channel = self.server.channel(credentials(who))
        self.addCleanup(channel.close)
        return channel

    def test_anyone_with_a_certificate_sees_every_service_with_all_its_messages(self):
        database = ProtoReflectionDescriptorDatabase(self.channel("nobody"))
        self.assertLessEqual(SERVICES, set(database.get_services()))
        pool = DescriptorPool(database)
        methods = 0
        for name in database.get_services():
            for method in pool.FindServiceByName(name).methods:
                for message in (method.input_type, method.output_type):
                    message_factory.GetMessageClass(message)
                methods += 1
        cases(methods, "methods described by the server itself")

    def test_a_client_without_our_files_appends_a_batch(self):
        channel = self.channel()
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("varve.v1.Log").FindMethodByName("Produce")
        request = message_factory.GetMessageClass(method.input_type)(
            log="default", records=[{"value": b"described", "key": b"k"}], expected_offset=0
        )
        # What is optional can be told from what is zero.
        self.assertTrue(request.HasField("expected_offset"))
        response_class = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/varve.v1.Log/Produce",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        response = call(request, timeout=PATIENCE_S)
        self.assertEqual(response.next_offset, 1)
        self.assertGreater(response.append_time_us, 0)

    def test_both_versions_answer_alike(self):
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_by_filename="varve/v1/log_service.proto"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Symbol"),
        ]
        answers = []
        for version in ("v1", "v1alpha"):
            ask = self.channel().stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            answers.append(list(ask(iter(requests), timeout=PATIENCE_S)))
        self.assertEqual(answers[0], answers[1])
        listed, described, missing = answers[0]
        self.assertTrue(listed.list_services_response.service)
        self.assertTrue(described.file_descriptor_response.file_descriptor_proto)
        self.assertEqual(missing.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
