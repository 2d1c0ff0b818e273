// A client of Varve in Node: appends records, reads them back, and reads what errors say.
//
// Copy what you need. It stops at the first thing that is not as it should be.
//
// usage: node example.js PROTO          PROTO is Varve's folder `proto`

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const LOG = 'default';

const definitions = protoLoader.loadSync(
  ['varve/v1/log_service.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'],
  {
    includeDirs: [process.argv[2]],
    // Offsets have 64 bits, and a number holds 53: they come as text, for BigInt.
    longs: String,
    enums: String,
    defaults: true,
    // Decodes the details of an error.
    json: true,
  },
);
const varve = grpc.loadPackageDefinition(definitions).varve.v1;
const Status = definitions['google.rpc.Status'];

// A client of VARVE_SERVER, over which the server and the client prove who they are.
function connect() {
  const read = (variable) => readFileSync(process.env[variable]);
  const credentials = grpc.credentials.createSsl(
    read('VARVE_CA'),
    read('VARVE_KEY'),
    read('VARVE_CERT'),
  );
  return new varve.Log(process.env.VARVE_SERVER, credentials, {
    // Notices a server that is gone without a word. Varve allows a ping every 10 s.
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  });
}

// For calls that are answered at once; a call without a deadline may wait for ever.
const soon = () => ({ deadline: Date.now() + 10_000 });

// A unary call as a promise.
function call(log, method, request) {
  return new Promise((resolve, reject) => {
    log[method](request, soon(), (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

// The reason of a refusal and its values. docs/ERRORS.md lists all of them.
function errorInfo(error) {
  const [trailer] = error.metadata.get('grpc-status-details-bin');
  const { details } = Status.deserialize(trailer);
  return details.find((detail) => detail['@type'].endsWith('/google.rpc.ErrorInfo'));
}

async function expectRefusal(what, promise, code, reason, values) {
  const error = await promise.then(
    () => assert.fail(`${what}: was not refused`),
    (refusal) => refusal,
  );
  assert.equal(error.code, code, `${what}: ${error.message}`);
  const info = errorInfo(error);
  assert.equal(info.reason, reason, what);
  assert.deepEqual({ ...info.metadata }, values, what);
  console.log(`${what}: ${info.reason}`, values);
}

// A record with all its fields, as they come back.
function record(value, { key = '', headers = [] } = {}) {
  return { value: Buffer.from(value), key: Buffer.from(key), headers };
}

// The records of a response, each with its offset.
function withOffsets({ batches }) {
  // Offsets count on within a batch.
  return batches.flatMap(({ baseOffset, records }) => numbered(records, BigInt(baseOffset)));
}

function numbered(records, first) {
  return records.map((each, place) => ({ offset: first + BigInt(place), ...each }));
}

// Appends one batch: all of it or nothing, also if the power fails. It is on disk when the promise
// resolves.
async function produce(log) {
  const headers = [{ name: 'content-type', value: Buffer.from('application/json') }];
  const records = [
    record('{"item":"tea"}', { key: 'order-1', headers }),
    record('{"item":"coffee"}', { key: 'order-2', headers }),
  ];
  const reply = await call(log, 'Produce', { log: LOG, records });
  const first = BigInt(reply.baseOffset);
  assert.equal(BigInt(reply.nextOffset), first + 2n, 'produce');
  assert.equal(reply.durability, 'DURABILITY_SYNCED', 'produce');
  console.log(`produce: offsets ${first} to ${first + 1n}`);
  return { first, records };
}

// Appends many batches without waiting for each answer; the answers come in order.
async function produceStream(log, end) {
  const batches = Array.from({ length: 100 }, (_, n) =>
    [0, 1].map((part) => record(`reading ${n}.${part}`, { key: 'sensor' })),
  );
  const stream = log.ProduceStream(soon());
  // `pipe` waits where the server is slower than we are, and ends the stream.
  Readable.from(batches.map((records) => ({ log: LOG, records }))).pipe(stream);
  let answered = 0;
  for await (const reply of stream) {
    // The answer to the batch `batches[answered]`.
    assert.equal(BigInt(reply.baseOffset), end, 'produce stream');
    end = BigInt(reply.nextOffset);
    answered += 1;
  }
  assert.equal(answered, batches.length, 'produce stream');
  console.log(`produce stream: ${answered} batches, the log ends at ${end}`);
  return batches.flat();
}

// Reads once: what is there, as far as it fits into one answer.
async function consume(log, first, wanted) {
  const response = await call(log, 'Consume', {
    log: LOG,
    offset: String(first),
    maxRecords: wanted.length,
  });
  const found = withOffsets(response);
  assert.deepEqual(found, numbered(wanted, first), 'consume');
  // To go on reading, ask for this one.
  assert.equal(BigInt(response.nextOffset), first + BigInt(wanted.length), 'consume');
  console.log(`consume: ${found.map(({ key }) => key)}`);
}

// Reads on and on; here it ends after `maxRecords`.
async function consumeStream(log, first, wanted) {
  const request = { log: LOG, offset: String(first), maxRecords: wanted.length };
  const found = [];
  for await (const response of log.ConsumeStream(request, soon())) {
    found.push(...withOffsets(response));
  }
  assert.deepEqual(found, numbered(wanted, first), 'consume stream');
  console.log(`consume stream: ${found.length} records in order`);
}

// Waits at the end of the log for what is appended from now on.
async function tail(log, end) {
  const request = { log: LOG, offset: String(end), heartbeatMs: 100 };
  const stream = log.ConsumeStream(request, soon());
  const responses = stream[Symbol.asyncIterator]();
  // A response without records is a heartbeat: nothing came, and the server is well.
  const { value: heartbeat } = await responses.next();
  assert.equal(heartbeat.batches.length, 0, 'tail');
  assert.equal(BigInt(heartbeat.highWatermark), end, 'tail');
  for (let number = 0; number < 3; number += 1) {
    const sent = record(`tail ${number}`);
    await call(log, 'Produce', { log: LOG, records: [sent] });
    let response;
    do {
      response = (await responses.next()).value;
    } while (response.batches.length === 0);
    assert.deepEqual(withOffsets(response), numbered([sent], end), 'tail');
    end += 1n;
  }
  // A stream that is cancelled says so in an error.
  stream.on('error', () => {});
  stream.cancel();
  console.log('tail: 3 records as they came');
  return end;
}

// Appends only if nobody else appended meanwhile, as for a counter or a lock.
async function appendAt(log, end) {
  const request = { log: LOG, records: [record('only here')], expectedOffset: String(end) };
  const reply = await call(log, 'Produce', request);
  assert.equal(BigInt(reply.baseOffset), end, 'append at');
  console.log(`append at ${end}: done`);
  await expectRefusal(
    `append at ${end} again`,
    call(log, 'Produce', request),
    grpc.status.FAILED_PRECONDITION,
    'NOT_AT_END',
    { expected: `${end}`, end: `${end + 1n}` },
  );
  return end + 1n;
}

// Reads where there is nothing yet; the error says what there is.
async function beyondTheEnd(log, end) {
  const offset = `${end + 1000n}`;
  await expectRefusal(
    `consume at ${offset}`,
    call(log, 'Consume', { log: LOG, offset }),
    grpc.status.OUT_OF_RANGE,
    'OFFSET_OUT_OF_RANGE',
    { offset, start: '0', end: `${end}` },
  );
}

const log = connect();
const { first, records } = await produce(log);
await consume(log, first, records);
records.push(...(await produceStream(log, first + BigInt(records.length))));
await consumeStream(log, first, records);
let end = await tail(log, first + BigInt(records.length));
end = await appendAt(log, end);
await beyondTheEnd(log, end);
log.close();
console.log('all is as it should be');
