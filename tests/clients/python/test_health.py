"""The standard health check, asked with the standard client."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rig import PATIENCE_S, ServerCase, credentials

SERVING = health_pb2.HealthCheckResponse.SERVING


class Health(ServerCase):
    def stub(self, name):
        channel = self.server.channel(credentials(name))
        self.addCleanup(channel.close)
        return health_pb2_grpc.HealthStub(channel)

    def test_the_process_its_services_and_their_methods_are_serving(self):
        for service in ("", "log.v1.Log", "varve.v1.Log", "varve.v1.Log/Produce"):
            request = health_pb2.HealthCheckRequest(service=service)
            # Also for a client that may neither produce nor consume.
            for who in ("root", "nobody"):
                response = self.stub(who).Check(request, timeout=PATIENCE_S)
                self.assertEqual(response.status, SERVING)

    def test_a_watch_begins_with_the_state_of_now(self):
        stream = self.stub("root").Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        self.assertEqual(next(stream).status, SERVING)
        stream.cancel()

    def test_an_unknown_service_is_not_found(self):
        request = health_pb2.HealthCheckRequest(service="no.such.Service")
        error = self.refusal(lambda: self.stub("root").Check(request, timeout=PATIENCE_S))
        self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
