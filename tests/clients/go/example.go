// A client of Varve in Go: appends records, reads them back, and reads what errors say.
//
// Copy what you need. It stops at the first thing that is not as it should be.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	varve "varve.example/client/varve/v1"
)

const logName = "default"

// For calls that are answered at once; a call without a deadline may wait for ever.
const deadline = 10 * time.Second

// connect returns a connection to VARVE_SERVER, over which the server and the client prove who they
// are.
func connect() (*grpc.ClientConn, error) {
	identity, err := tls.LoadX509KeyPair(os.Getenv("VARVE_CERT"), os.Getenv("VARVE_KEY"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(os.Getenv("VARVE_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("VARVE_CA holds no certificate")
	}
	return grpc.NewClient(os.Getenv("VARVE_SERVER"),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{identity},
			RootCAs:      roots,
		})),
		// Notices a server that is gone without a word. Varve allows a ping every 10 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:    30 * time.Second,
			Timeout: 10 * time.Second,
		}),
	)
}

// errorInfo returns the reason of a refusal and its values. docs/ERRORS.md lists all of them.
func errorInfo(err error) (string, map[string]string) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason, info.Metadata
		}
	}
	return "", nil
}

func expectRefusal(
	what string, err error, code codes.Code, reason string, values map[string]string,
) error {
	foundReason, foundValues := errorInfo(err)
	if status.Code(err) != code || foundReason != reason || !maps.Equal(foundValues, values) {
		return fmt.Errorf("%s: found %v %s %v, wanted %v %s %v",
			what, err, foundReason, foundValues, code, reason, values)
	}
	fmt.Println(what+":", foundReason, foundValues)
	return nil
}

// reading checks records as they come.
type reading struct {
	what string
	// The offset of the next record.
	next uint64
	// The records that are to come.
	wanted []*varve.Record
}

// take checks the records of a response.
func (r *reading) take(response *varve.ConsumeResponse) error {
	for _, batch := range response.Batches {
		for place, record := range batch.Records {
			// Offsets count on within a batch.
			offset := batch.BaseOffset + uint64(place)
			if len(r.wanted) == 0 || offset != r.next || !proto.Equal(record, r.wanted[0]) {
				return fmt.Errorf("%s: found %v at %d, wanted %v at %d",
					r.what, record, offset, r.wanted[:min(1, len(r.wanted))], r.next)
			}
			r.next, r.wanted = r.next+1, r.wanted[1:]
		}
	}
	return nil
}

// done checks that no record is missing.
func (r *reading) done() error {
	if len(r.wanted) != 0 {
		return fmt.Errorf("%s: %d records are missing from %d on", r.what, len(r.wanted), r.next)
	}
	return nil
}

// produce appends one batch: all of it or nothing, also if the power fails. It is on disk when the
// call returns.
func produce(ctx context.Context, client varve.LogClient) (uint64, []*varve.Record, error) {
	headers := []*varve.Header{{Name: "content-type", Value: []byte("application/json")}}
	records := []*varve.Record{
		{Key: []byte("order-1"), Value: []byte(`{"item":"tea"}`), Headers: headers},
		{Key: []byte("order-2"), Value: []byte(`{"item":"coffee"}`), Headers: headers},
	}
	reply, err := client.Produce(ctx, &varve.ProduceRequest{Log: logName, Records: records})
	if err != nil {
		return 0, nil, err
	}
	if reply.NextOffset != reply.BaseOffset+uint64(len(records)) ||
		reply.Durability != varve.Durability_DURABILITY_SYNCED {
		return 0, nil, fmt.Errorf("produce: found %v", reply)
	}
	fmt.Printf("produce: offsets %d to %d\n", reply.BaseOffset, reply.NextOffset-1)
	return reply.BaseOffset, records, nil
}

// produceStream appends many batches without waiting for each answer; the answers come in order.
func produceStream(
	ctx context.Context, client varve.LogClient, end uint64,
) ([]*varve.Record, error) {
	var batches [][]*varve.Record
	for n := range 100 {
		var batch []*varve.Record
		for part := range 2 {
			value := fmt.Appendf(nil, "reading %d.%d", n, part)
			batch = append(batch, &varve.Record{Key: []byte("sensor"), Value: value})
		}
		batches = append(batches, batch)
	}
	stream, err := client.ProduceStream(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for _, batch := range batches {
			// If it fails, Recv says why.
			if stream.Send(&varve.ProduceRequest{Log: logName, Records: batch}) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	var records []*varve.Record
	for answered := 0; ; answered++ {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) && answered == len(batches) {
			fmt.Printf("produce stream: %d batches, the log ends at %d\n", answered, end)
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("produce stream: after %d answers: %w", answered, err)
		}
		if reply.BaseOffset != end || answered == len(batches) {
			return nil, fmt.Errorf("produce stream: found %v, wanted %d", reply, end)
		}
		// The answer to this batch.
		records = append(records, batches[answered]...)
		end = reply.NextOffset
	}
}

// consume reads once: what is there, as far as it fits into one answer.
func consume(
	ctx context.Context, client varve.LogClient, first uint64, wanted []*varve.Record,
) error {
	response, err := client.Consume(ctx, &varve.ConsumeRequest{
		Log:        logName,
		Start:      &varve.ConsumeRequest_Offset{Offset: first},
		MaxRecords: uint64(len(wanted)),
	})
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	reading := reading{"consume", first, wanted}
	if err := errors.Join(reading.take(response), reading.done()); err != nil {
		return err
	}
	// To go on reading, ask for this one.
	if response.NextOffset != reading.next {
		return fmt.Errorf("consume: goes on at %d, wanted %d", response.NextOffset, reading.next)
	}
	fmt.Printf("consume: %d records\n", len(wanted))
	return nil
}

// consumeStream reads on and on; here it ends after MaxRecords.
func consumeStream(
	ctx context.Context, client varve.LogClient, first uint64, wanted []*varve.Record,
) error {
	stream, err := client.ConsumeStream(ctx, &varve.ConsumeRequest{
		Log:        logName,
		Start:      &varve.ConsumeRequest_Offset{Offset: first},
		MaxRecords: uint64(len(wanted)),
	})
	if err != nil {
		return err
	}
	reading := reading{"consume stream", first, wanted}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("consume stream: %w", err)
		}
		if err := reading.take(response); err != nil {
			return err
		}
	}
	fmt.Printf("consume stream: %d records in order\n", reading.next-first)
	return reading.done()
}

// tail waits at the end of the log for what is appended from now on.
func tail(ctx context.Context, client varve.LogClient, end uint64) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	// Ends the stream.
	defer cancel()
	stream, err := client.ConsumeStream(ctx, &varve.ConsumeRequest{
		Log:         logName,
		Start:       &varve.ConsumeRequest_Offset{Offset: end},
		HeartbeatMs: 100,
	})
	if err != nil {
		return 0, err
	}
	// A response without records is a heartbeat: nothing came, and the server is well.
	heartbeat, err := stream.Recv()
	if err != nil || len(heartbeat.Batches) != 0 || heartbeat.HighWatermark != end {
		return 0, fmt.Errorf("tail: found %v %w, wanted a heartbeat at %d", heartbeat, err, end)
	}
	for number := range 3 {
		record := &varve.Record{Value: fmt.Appendf(nil, "tail %d", number)}
		request := &varve.ProduceRequest{Log: logName, Records: []*varve.Record{record}}
		if _, err := client.Produce(ctx, request); err != nil {
			return 0, fmt.Errorf("tail: %w", err)
		}
		reading := reading{"tail", end, request.Records}
		for reading.done() != nil {
			response, err := stream.Recv()
			if err != nil {
				return 0, fmt.Errorf("tail: %w", err)
			}
			if err := reading.take(response); err != nil {
				return 0, err
			}
		}
		end = reading.next
	}
	fmt.Println("tail: 3 records as they came")
	return end, nil
}

// appendAt appends only if nobody else appended meanwhile, as for a counter or a lock.
func appendAt(ctx context.Context, client varve.LogClient, end uint64) (uint64, error) {
	request := &varve.ProduceRequest{
		Log:            logName,
		Records:        []*varve.Record{{Value: []byte("only here")}},
		ExpectedOffset: proto.Uint64(end),
	}
	reply, err := client.Produce(ctx, request)
	if err != nil || reply.BaseOffset != end {
		return 0, fmt.Errorf("append at %d: found %v %w", end, reply, err)
	}
	fmt.Printf("append at %d: done\n", end)
	_, err = client.Produce(ctx, request)
	return end + 1, expectRefusal(fmt.Sprintf("append at %d again", end), err,
		codes.FailedPrecondition, "NOT_AT_END",
		map[string]string{"expected": fmt.Sprint(end), "end": fmt.Sprint(end + 1)})
}

// beyondTheEnd reads where there is nothing yet; the error says what there is.
func beyondTheEnd(ctx context.Context, client varve.LogClient, end uint64) error {
	offset := end + 1000
	_, err := client.Consume(ctx, &varve.ConsumeRequest{
		Log:   logName,
		Start: &varve.ConsumeRequest_Offset{Offset: offset},
	})
	return expectRefusal(fmt.Sprintf("consume at %d", offset), err,
		codes.OutOfRange, "OFFSET_OUT_OF_RANGE",
		map[string]string{
			"offset": fmt.Sprint(offset), "start": "0", "end": fmt.Sprint(end),
		})
}

func run() error {
	connection, err := connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	client := varve.NewLogClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()

	first, records, err := produce(ctx, client)
	if err != nil {
		return err
	}
	if err := consume(ctx, client, first, records); err != nil {
		return err
	}
	more, err := produceStream(ctx, client, first+uint64(len(records)))
	if err != nil {
		return err
	}
	records = append(records, more...)
	if err := consumeStream(ctx, client, first, records); err != nil {
		return err
	}
	end, err := tail(ctx, client, first+uint64(len(records)))
	if err != nil {
		return err
	}
	if end, err = appendAt(ctx, client, end); err != nil {
		return err
	}
	return beyondTheEnd(ctx, client, end)
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("all is as it should be")
}
