"""What was acknowledged is there again, whichever way the server went."""

import signal

from log.v1 import log_pb2
from rig import PATIENCE_S, ServerCase, cases, produce_request


class Restart(ServerCase):
    def read_all(self, count):
        request = log_pb2.ConsumeRequest(offset=0)
        stream = self.client().ConsumeStream(request, timeout=PATIENCE_S)
        records = [next(stream).record for _ in range(count)]
        stream.cancel()
        return records

    def test_r5_r17_acknowledged_records_outlive_the_server(self):
        expected = []
        for how, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)) * 2:
            batch = [b"%d" % (len(expected) + n) for n in range(1000)]
            stream = self.client().ProduceStream(map(produce_request, batch), timeout=PATIENCE_S)
            for value, response in zip(batch, stream, strict=True):
                expected.append(log_pb2.Record(value=value, offset=response.offset))
            self.assertEqual(self.server.end(how), code)
            self.server.start()
            self.assertEqual(self.read_all(len(expected)), expected)
        self.assertEqual([r.offset for r in expected], list(range(len(expected))))
        cases(len(expected), "records read again after each of 2 stops and 2 kills (R5 R17)")
