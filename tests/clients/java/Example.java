import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import varve.v1.LogGrpc;
import varve.v1.LogService.ConsumeRequest;
import varve.v1.LogService.ConsumeResponse;
import varve.v1.LogService.Durability;
import varve.v1.LogService.ProduceRequest;
import varve.v1.LogService.ProduceResponse;
import varve.v1.RecordOuterClass.Batch;
import varve.v1.RecordOuterClass.Header;
import varve.v1.RecordOuterClass.Record;

/**
 * A client of Varve in Java: appends records, reads them back, and reads what errors say.
 *
 * <p>Copy what you need. It stops at the first thing that is not as it should be.
 */
public final class Example {
    private static final String LOG = "default";

    private final ManagedChannel channel;

    private Example(ManagedChannel channel) {
        this.channel = channel;
    }

    /** A channel to VARVE_SERVER, over which the server and the client prove who they are. */
    private static ManagedChannel connect() throws IOException {
        var credentials = TlsChannelCredentials.newBuilder()
                .trustManager(new File(System.getenv("VARVE_CA")))
                .keyManager(new File(System.getenv("VARVE_CERT")),
                        new File(System.getenv("VARVE_KEY")))
                .build();
        return Grpc.newChannelBuilder(System.getenv("VARVE_SERVER"), credentials)
                // Notices a server that is gone without a word. Varve allows a ping every 10 s.
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS)
                .build();
    }

    /**
     * For calls that are answered at once; a call without a deadline may wait for ever. A deadline
     * begins with its stub, so each call takes a new one.
     */
    private LogGrpc.LogBlockingStub log() {
        return LogGrpc.newBlockingStub(channel).withDeadlineAfter(10, TimeUnit.SECONDS);
    }

    /** The reason of a refusal and its values. docs/ERRORS.md lists all of them. */
    private static ErrorInfo errorInfo(StatusRuntimeException error) throws IOException {
        for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                return detail.unpack(ErrorInfo.class);
            }
        }
        throw new IllegalStateException("no ErrorInfo", error);
    }

    private static void expect(String what, Object found, Object wanted) {
        if (!found.equals(wanted)) {
            throw new IllegalStateException(what + ": found " + found + ", wanted " + wanted);
        }
    }

    private static void expectRefusal(
            String what, Runnable call, Status.Code code, String reason, Map<String, String> values)
            throws IOException {
        try {
            call.run();
        } catch (StatusRuntimeException error) {
            expect(what, error.getStatus().getCode(), code);
            ErrorInfo info = errorInfo(error);
            expect(what, info.getReason(), reason);
            expect(what, info.getMetadataMap(), values);
            System.out.println(what + ": " + reason + " " + values);
            return;
        }
        throw new IllegalStateException(what + ": was not refused");
    }

    private static Record record(String value) {
        return Record.newBuilder().setValue(ByteString.copyFromUtf8(value)).build();
    }

    private static ProduceRequest batch(List<Record> records) {
        return ProduceRequest.newBuilder().setLog(LOG).addAllRecords(records).build();
    }

    private static ConsumeRequest.Builder from(long offset) {
        return ConsumeRequest.newBuilder().setLog(LOG).setOffset(offset);
    }

    /** A record with its offset. */
    private record Placed(long offset, Record record) {}

    private static List<Placed> placed(List<Record> records, long first) {
        List<Placed> placed = new ArrayList<>();
        for (Record record : records) {
            // Offsets count on within a batch.
            placed.add(new Placed(first + placed.size(), record));
        }
        return placed;
    }

    private static List<Placed> placed(ConsumeResponse response) {
        List<Placed> placed = new ArrayList<>();
        for (Batch batch : response.getBatchesList()) {
            placed.addAll(placed(batch.getRecordsList(), batch.getBaseOffset()));
        }
        return placed;
    }

    /**
     * Appends one batch: all of it or nothing, also if the power fails. It is on disk when the call
     * returns.
     */
    private long produce(List<Record> records) {
        ProduceResponse reply = log().produce(batch(records));
        expect("produce", reply.getNextOffset(), reply.getBaseOffset() + records.size());
        expect("produce", reply.getDurability(), Durability.DURABILITY_SYNCED);
        System.out.printf(
                "produce: offsets %d to %d%n", reply.getBaseOffset(), reply.getNextOffset() - 1);
        return reply.getBaseOffset();
    }

    private static List<Record> orders() {
        Header json = Header.newBuilder()
                .setName("content-type")
                .setValue(ByteString.copyFromUtf8("application/json"))
                .build();
        Record tea = record("{\"item\":\"tea\"}").toBuilder()
                .setKey(ByteString.copyFromUtf8("order-1"))
                .addHeaders(json)
                .build();
        Record coffee = record("{\"item\":\"coffee\"}").toBuilder()
                .setKey(ByteString.copyFromUtf8("order-2"))
                .addHeaders(json)
                .build();
        return List.of(tea, coffee);
    }

    /** Appends many batches without waiting for each answer; the answers come in order. */
    private List<Record> produceStream(long first) throws Exception {
        List<ProduceResponse> answers = new ArrayList<>();
        CompletableFuture<Void> done = new CompletableFuture<>();
        StreamObserver<ProduceRequest> requests = LogGrpc.newStub(channel)
                .withDeadlineAfter(10, TimeUnit.SECONDS)
                .produceStream(new StreamObserver<>() {
                    @Override
                    public void onNext(ProduceResponse answer) {
                        answers.add(answer);
                    }

                    @Override
                    public void onError(Throwable error) {
                        done.completeExceptionally(error);
                    }

                    @Override
                    public void onCompleted() {
                        done.complete(null);
                    }
                });
        List<Record> records = new ArrayList<>();
        int batches = 100;
        for (int n = 0; n < batches; n++) {
            String value = "reading " + n;
            List<Record> batch = List.of(record(value + ".0"), record(value + ".1"));
            // Never blocks: to send very much, look at `isReady` of ClientCallStreamObserver.
            requests.onNext(batch(batch));
            records.addAll(batch);
        }
        requests.onCompleted();
        done.get();
        long end = first;
        for (ProduceResponse answer : answers) {
            expect("produce stream", answer.getBaseOffset(), end);
            end = answer.getNextOffset();
        }
        expect("produce stream", answers.size(), batches);
        expect("produce stream", end, first + records.size());
        System.out.printf("produce stream: %d batches, the log ends at %d%n", batches, end);
        return records;
    }

    /** Reads once: what is there, as far as it fits into one answer. */
    private void consume(long first, List<Record> wanted) {
        ConsumeResponse response = log().consume(from(first).setMaxRecords(wanted.size()).build());
        expect("consume", placed(response), placed(wanted, first));
        // To go on reading, ask for this one.
        expect("consume", response.getNextOffset(), first + wanted.size());
        System.out.printf("consume: %d records%n", wanted.size());
    }

    /** Reads on and on; here it ends after `max_records`. */
    private void consumeStream(long first, List<Record> wanted) {
        List<Placed> found = new ArrayList<>();
        log().consumeStream(from(first).setMaxRecords(wanted.size()).build())
                .forEachRemaining(response -> found.addAll(placed(response)));
        expect("consume stream", found, placed(wanted, first));
        System.out.printf("consume stream: %d records in order%n", found.size());
    }

    /** Waits at the end of the log for what is appended from now on. */
    private long tail(long end) throws Exception {
        ConsumeRequest request = from(end).setHeartbeatMs(100).build();
        // Ends the stream when it is closed.
        try (Context.CancellableContext context = Context.current().withCancellation()) {
            Iterator<ConsumeResponse> stream = context.call(() -> log().consumeStream(request));
            // A response without records is a heartbeat: nothing came, and the server is well.
            ConsumeResponse heartbeat = stream.next();
            expect("tail", heartbeat.getBatchesCount(), 0);
            expect("tail", heartbeat.getHighWatermark(), end);
            for (int number = 0; number < 3; number++) {
                List<Record> sent = List.of(record("tail " + number));
                log().produce(batch(sent));
                ConsumeResponse response = stream.next();
                while (response.getBatchesCount() == 0) {
                    response = stream.next();
                }
                expect("tail", placed(response), placed(sent, end));
                end++;
            }
        }
        System.out.println("tail: 3 records as they came");
        return end;
    }

    /** Appends only if nobody else appended meanwhile, as for a counter or a lock. */
    private long appendAt(long end) throws IOException {
        ProduceRequest request = batch(List.of(record("only here"))).toBuilder()
                .setExpectedOffset(end)
                .build();
        expect("append at", log().produce(request).getBaseOffset(), end);
        System.out.printf("append at %d: done%n", end);
        expectRefusal("append at " + end + " again", () -> log().produce(request),
                Status.Code.FAILED_PRECONDITION, "NOT_AT_END",
                Map.of("expected", Long.toString(end), "end", Long.toString(end + 1)));
        return end + 1;
    }

    /** Reads where there is nothing yet; the error says what there is. */
    private void beyondTheEnd(long end) throws IOException {
        long offset = end + 1000;
        expectRefusal("consume at " + offset, () -> log().consume(from(offset).build()),
                Status.Code.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE",
                Map.of("offset", Long.toString(offset), "start", "0", "end", Long.toString(end)));
    }

    private void run() throws Exception {
        List<Record> records = new ArrayList<>(orders());
        long first = produce(records);
        consume(first, records);
        records.addAll(produceStream(first + records.size()));
        consumeStream(first, records);
        long end = tail(first + records.size());
        end = appendAt(end);
        beyondTheEnd(end);
    }

    public static void main(String[] arguments) {
        try {
            ManagedChannel channel = connect();
            try {
                new Example(channel).run();
            } finally {
                channel.shutdownNow();
            }
        } catch (Exception error) {
            System.err.println(error);
            System.exit(1);
        }
        System.out.println("all is as it should be");
    }
}
