//! What is on disk is what docs/FORMAT.md says: `tests/format/reader.py`, which was written from
//! that page alone, reads what the log wrote, and the log reads the page's example.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use varve::log::{
    Append, Durability, Log, LogName, LogOverrides, Logs, Offset, Options, OsDisk,
    PRODUCER_BATCHES_MAX, Producer, ProducerId, Reader, ReaderAction, ReaderName, ReaderOrder,
};

use crate::rig::wait;

const NAME: &str = "tides";

/// A record as its producer made it.
#[derive(Clone, Debug, Default)]
struct Record {
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn new(key: &str, value: &str, headers: &[(&str, &str)]) -> Self {
        let header = |(name, value): &(&str, &str)| (name.to_string(), value.as_bytes().to_vec());
        Self { key: key.into(), value: value.into(), headers: headers.iter().map(header).collect() }
    }

    /// The `n`-th record: keys, values and headers that are absent, short, and over 127 bytes.
    fn of(n: usize) -> Self {
        let bytes = |len: usize| (0..len).map(|i| u8::try_from((i + n) % 256).unwrap()).collect();
        let header = |i: usize| (format!("header-{i}"), bytes(i * 50));
        Self {
            key: bytes([0, 3, 130][n % 3]),
            value: bytes(n * 61 % 400),
            headers: (0..n % 4).map(header).collect(),
        }
    }

    /// As an element of `records` in a `varve.v1.Batch`.
    fn encode(&self) -> Vec<u8> {
        let mut record = field(1, &self.value);
        record.extend(field(2, &self.key));
        for (name, value) in &self.headers {
            let header = [field(1, name.as_bytes()), field(2, value)].concat();
            record.extend(field(3, &header));
        }
        element(1, &record)
    }

    /// As the reader prints it.
    fn line(&self, offset: Offset, append_time_us: u64) -> String {
        let header =
            |(name, value): &(String, Vec<u8>)| format!("[\"{name}\", \"{}\"]", hex(value));
        let headers: Vec<_> = self.headers.iter().map(header).collect();
        format!(
            "{{\"offset\": {offset}, \"append_time_us\": {append_time_us}, \"key\": \"{}\", \
             \"value\": \"{}\", \"headers\": [{}]}}",
            hex(&self.key),
            hex(&self.value),
            headers.join(", ")
        )
    }
}

/// A field of bytes, which is left out if it has none.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    if content.is_empty() { Vec::new() } else { element(number, content) }
}

fn element(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 127 {
        out.push(u8::try_from(length % 128 + 128).unwrap());
        length /= 128;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(content);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the reader said.
#[derive(Debug)]
struct Read {
    lines: Vec<String>,
    complaints: String,
    code: i32,
}

fn read(data: &Path) -> Read {
    run(data, &[])
}

fn read_readers(data: &Path) -> Read {
    run(data, &["readers"])
}

fn read_producers(data: &Path) -> Read {
    run(data, &["producers"])
}

fn run(data: &Path, more: &[&str]) -> Read {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/reader.py");
    let ran = Command::new("python3").arg(reader).arg(data).arg(NAME).args(more).output();
    let ran = ran.expect("python3 runs the reader; the package `python3` has it");
    Read {
        lines: String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect(),
        complaints: String::from_utf8(ran.stderr).unwrap(),
        code: ran.status.code().unwrap(),
    }
}

fn open(data: &Path) -> Arc<Logs> {
    let options = Options { min_free_bytes: 0, ..Options::default() };
    Logs::open(data, Arc::new(OsDisk::new()), options).unwrap()
}

/// Appends `batches` batches of one to five records and returns the lines that they should read as.
fn fill(log: &Arc<Log>, batches: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut unacknowledged = Vec::new();
    for n in 0..batches {
        let records: Vec<_> = (0..=n % 5).map(|i| Record::of(lines.len() + i)).collect();
        let payload: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        let count = NonZeroU32::new(u32::try_from(records.len()).unwrap()).unwrap();
        let pending = log.append(&payload, count, Durability::Synced).unwrap();
        let (base, time) = (pending.base_offset(), pending.append_time_us());
        let offsets = (0_u64..).map(|place| base.plus(place));
        lines.extend(records.iter().zip(offsets).map(|(record, at)| record.line(at, time)));
        unacknowledged.push(pending);
        if n % 7 == 0 || n + 1 == batches {
            unacknowledged.drain(..).for_each(|pending| assert!(wait(pending).is_ok()));
        }
    }
    lines
}

fn create(logs: &Logs) -> Arc<Log> {
    let overrides = LogOverrides { segment_bytes_max: Some(16 << 10), ..LogOverrides::default() };
    logs.create(&LogName::parse(NAME).unwrap(), overrides).unwrap()
}

fn files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let directory = data.join("logs").join(NAME);
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(ending));
    paths.sort();
    paths
}

/// Copies the log's files, as a kill at this moment would leave them.
fn copy(data: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().unwrap();
    let directory = copied.path().join("logs").join(NAME);
    fs::create_dir_all(&directory).unwrap();
    for path in files(data, "") {
        fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
    }
    copied
}

#[test]
fn a_reader_made_from_the_format_page_reads_every_record() {
    let data = tempfile::tempdir().unwrap();
    let logs = open(data.path());
    let log = create(&logs);
    let mut expected = fill(&log, 400);
    assert!(files(data.path(), ".store").len() >= 10);

    let killed = copy(data.path());
    let tail = files(killed.path(), ".store").into_iter().rfind(|p| !p.ends_with("next.store"));
    let mut bytes = fs::read(tail.as_ref().unwrap()).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let torn_at = used.next_multiple_of(8);
    bytes.resize(bytes.len().max(torn_at + 200), 0);
    let whole_frame = bytes[128..128 + 150].to_vec();
    bytes[torn_at..torn_at + 150].copy_from_slice(&whole_frame);
    bytes[torn_at + 100] ^= 1;
    fs::write(tail.unwrap(), bytes).unwrap();
    let read_killed = read(killed.path());
    assert_eq!(read_killed.code, 0, "a torn tail is no damage: {}", read_killed.complaints);
    assert_eq!(read_killed.lines, expected);

    let bounds = log.bounds();
    let start = log.trim(Offset::new(bounds.end.get() / 2)).unwrap().start;
    assert!(start > bounds.start);
    logs.close().unwrap();
    let closed = read(data.path());
    expected.drain(..usize::try_from(start.get()).unwrap());
    assert_eq!(closed.lines, expected);
    assert_eq!((closed.complaints.as_str(), closed.code), ("", 0));
    println!("cases: {} records", read_killed.lines.len() + closed.lines.len());
}

/// The reader tells apart what a checksum covers and what not; else it would prove little.
#[test]
fn the_reader_reports_every_record_that_a_flipped_bit_costs() {
    let data = tempfile::tempdir().unwrap();
    let logs = open(data.path());
    let expected = fill(&create(&logs), 30);
    logs.close().unwrap();
    let known: BTreeSet<_> = expected.iter().collect();
    let store = files(data.path(), ".store").remove(0);
    let bytes = fs::read(&store).unwrap();
    let (mut cases, mut costly) = (0, 0);
    for at in (3..bytes.len()).step_by(bytes.len() / 24) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&store, &flipped).unwrap();
        let read = read(data.path());
        assert!(read.lines.iter().all(|line| known.contains(line)), "byte {at}: {read:?}");
        let is_whole = read.lines.len() == expected.len();
        assert!(is_whole || read.code == 1, "byte {at}: {read:?}");
        let lost = expected.len() - read.lines.len();
        assert!(lost <= 5, "byte {at} costs more than its batch: {read:?}");
        costly += usize::from(!is_whole);
        cases += 1;
    }
    assert!(costly > cases / 2, "{costly} of {cases}");
    println!("cases: {cases} flips for the reader");
}

/// Where the name of a store alone tells that all before it was durable.
#[test]
fn the_reader_goes_on_where_a_store_begins_and_leaves_out_a_file_that_is_none() {
    let data = tempfile::tempdir().unwrap();
    let logs = open(data.path());
    let log = create(&logs);
    let mut expected = 0;
    while files(data.path(), ".store").iter().filter(|path| !path.ends_with("next.store")).count()
        < 2
    {
        expected += fill(&log, 1).len();
    }
    logs.close().unwrap();
    fs::remove_file(&files(data.path(), "checkpoint")[0]).unwrap();
    let first = &files(data.path(), ".store")[0];
    let mut bytes = fs::read(first).unwrap();
    let footer = bytes.len() - 72;
    assert!(bytes[footer..].starts_with(b"VFTR"));
    bytes[footer] ^= 1;
    fs::write(first, bytes).unwrap();
    fs::write(first.with_file_name(format!("{:020}.store", 1)), b"no store").unwrap();
    let read = read(data.path());
    assert_eq!((read.lines.len(), read.code), (expected, 0), "{}", read.complaints);
    assert!(read.complaints.contains("is no store of this log"), "{}", read.complaints);
}

/// A reader as the Python program prints it.
fn reader_line(reader: &Reader) -> String {
    format!(
        "{{\"reader\": \"{}\", \"offset\": {}, \"owner\": \"{}\", \"commit_time_us\": {}}}",
        reader.name, reader.offset, reader.owner, reader.commit_time_us
    )
}

#[test]
fn the_reader_made_from_the_format_page_finds_where_readers_stand() {
    let data = tempfile::tempdir().unwrap();
    let logs = open(data.path());
    let log = create(&logs);
    fill(&log, 10);
    assert_eq!(read_readers(data.path()).lines, Vec::<String>::new());
    for n in 0..200_u64 {
        let name = ReaderName::parse(&format!("reader-{}", n % 7)).unwrap();
        let commit = ReaderAction::Commit { offset: Offset::new(n % 20), force: true };
        let action = if n % 9 == 5 { ReaderAction::Delete } else { commit };
        let subject = "x".repeat(usize::try_from(n).unwrap());
        let order = ReaderOrder { name, subject, any_owner: true, action };
        // Some delete what is not there.
        let _answers = log.change_readers(&[order]);
    }
    let expected: Vec<_> = log.readers().unwrap().iter().map(reader_line).collect();
    assert!(expected.len() >= 5);
    let whole = read_readers(data.path());
    assert_eq!((whole.lines, &*whole.complaints, whole.code), (expected.clone(), "", 0));
    let path = files(data.path(), "/readers").remove(0);
    let bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (1..used).step_by(used / 20) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        let read = read_readers(data.path());
        let is_torn = read.code == 0 && read.complaints.contains("torn tail");
        assert!(read.code == 1 || is_torn && at + 300 > used, "byte {at} of {used}: {read:?}");
    }
}

/// What a producer sent, as the reader prints what is known of it: its last 1,024 batches.
#[derive(Default)]
struct Sent {
    epoch: u32,
    batches: Vec<String>,
}

impl Sent {
    fn send(&mut self, log: &Arc<Log>, id: ProducerId) {
        let sequence = u64::try_from(self.batches.len()).unwrap();
        let payload = Record::of(self.batches.len()).encode();
        let (durability, expected) = (Durability::Synced, None);
        let producer = Some(Producer { id, epoch: self.epoch, sequence });
        let records = NonZeroU32::MIN;
        let batch = Append { payload: &payload, records, durability, expected, producer };
        let pending = log.append_batch(batch).unwrap();
        let crc = crc32c::crc32c(&payload);
        self.batches.push(format!("[{}, 1, {crc}]", pending.base_offset()));
        wait(pending).unwrap();
    }

    fn line(&self, id: ProducerId) -> String {
        let first = self.batches.len().saturating_sub(PRODUCER_BATCHES_MAX);
        format!(
            "{{\"producer\": \"{}\", \"epoch\": {}, \"next\": {}, \"batches\": [{}]}}",
            hex(&id.bytes()),
            self.epoch,
            self.batches.len(),
            self.batches[first..].join(", ")
        )
    }
}

#[test]
fn the_reader_made_from_the_format_page_knows_the_producers_that_the_log_knows() {
    let data = tempfile::tempdir().unwrap();
    let logs = open(data.path());
    let log = create(&logs);
    let ids = [1, 7, 9].map(|n| ProducerId::from_bytes([n; 16]).unwrap());
    let mut sent = [(); 3].map(|()| Sent::default());
    let lines = |sent: &[Sent]| {
        let known = ids.iter().zip(sent).filter(|(_, sent)| !sent.batches.is_empty());
        known.map(|(id, sent)| sent.line(*id)).collect::<Vec<_>>()
    };
    let check = |data: &Path, sent: &[Sent]| {
        let found = read_producers(data);
        assert_eq!(found.lines, lines(sent));
        assert_eq!((found.complaints.as_str(), found.code), ("", 0));
    };
    check(data.path(), &sent);
    (0..1100).for_each(|_| sent[0].send(&log, ids[0]));
    fill(&log, 20);
    (0..30).for_each(|_| sent[1].send(&log, ids[1]));
    // Before any is stored: the frames tell all.
    assert_eq!(files(data.path(), "/producers").len(), 0);
    check(copy(data.path()).path(), &sent);
    // Stored before a trim; then more, and another epoch.
    log.trim(Offset::new(log.bounds().end.get() / 2)).unwrap();
    assert_eq!(files(data.path(), "/producers").len(), 1);
    sent[0] = Sent { epoch: 3, ..Sent::default() };
    (0..40).for_each(|_| sent[0].send(&log, ids[0]));
    (0..3).for_each(|_| sent[2].send(&log, ids[2]));
    check(copy(data.path()).path(), &sent);
    logs.close().unwrap();
    check(data.path(), &sent);
}

/// The files and the records that docs/FORMAT.md shows.
#[derive(Default)]
struct Example {
    files: Vec<(String, Vec<u8>)>,
    lines: Vec<String>,
    producers: Vec<String>,
    readers: Vec<String>,
}

/// Reads the page's blocks: ```` ```hex PATH BYTES ````, whose lines are a position, bytes and a
/// remark, two blanks apart, and whose bytes are zero where no line says otherwise;
/// ```` ```text PATH ````; ```` ```json ````; and the same of `readers` and `producers`.
fn example() -> Example {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FORMAT.md");
    let page = fs::read_to_string(path).unwrap();
    let mut example = Example::default();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (opening, content) = block.split_once('\n').unwrap();
        match opening.split(' ').collect::<Vec<_>>()[..] {
            ["hex", path, bytes] => {
                let mut file = vec![0; bytes.parse().unwrap()];
                content.lines().for_each(|line| put_line(&mut file, line));
                example.files.push((path.to_owned(), file));
            }
            ["text", path] => example.files.push((path.to_owned(), format!("{content}\n").into())),
            ["json"] => example.lines.extend(content.lines().map(str::to_owned)),
            ["json", "producers"] => example.producers.push(content.to_owned()),
            ["json", "readers"] => example.readers.extend(content.lines().map(str::to_owned)),
            _ => {}
        }
    }
    example
}

fn put_line(file: &mut [u8], line: &str) {
    let mut columns = line.split("  ");
    let at = usize::from_str_radix(columns.next().unwrap(), 16).unwrap();
    let bytes = columns.next().unwrap().split(' ');
    for (n, byte) in bytes.enumerate() {
        assert_eq!(file[at + n], 0, "two lines say what stands at {:x}", at + n);
        file[at + n] = u8::from_str_radix(byte, 16).unwrap();
    }
}

#[test]
fn the_example_of_the_format_page_is_what_the_log_and_the_reader_read() {
    let data = tempfile::tempdir().unwrap();
    let example = example();
    assert_eq!((example.files.len(), example.lines.len()), (8, 4));
    for (path, bytes) in &example.files {
        let path = data.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let by_reader = read(data.path());
    assert_eq!(by_reader.lines, example.lines);
    assert_eq!((by_reader.complaints.as_str(), by_reader.code), ("", 0));

    let batches = [
        vec![Record::new("brest", "high 4.31", &[]), Record::new("brest", "low 1.02", &[])],
        vec![Record::new("dover", "high 5.10", &[("unit", "m")])],
        vec![Record::new("", "fog", &[])],
    ];
    let logs = open(data.path());
    let log = logs.get(NAME).unwrap();
    let mut lines = Vec::new();
    for records in &batches {
        let base = Offset::new(u64::try_from(lines.len()).unwrap());
        let chunk = log.read(base, 1).unwrap();
        let stored = chunk.batches().next().unwrap();
        let payload: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        assert_eq!((stored.base_offset, stored.payload), (base, &payload[..]));
        let offsets = (0_u64..).map(|place| base.plus(place));
        let line = |(record, at): (&Record, _)| record.line(at, stored.append_time_us);
        lines.extend(records.iter().zip(offsets).map(line));
    }
    assert_eq!(lines, example.lines);
    let by_reader = read_producers(data.path());
    assert_eq!(by_reader.lines, example.producers);
    assert_eq!((by_reader.complaints.as_str(), by_reader.code), ("", 0));
    let id = u128::from_str_radix("0f7c5b9362391a01f403a1fd602db63c", 16).unwrap();
    let id = ProducerId::from_bytes(id.to_be_bytes()).unwrap();
    let payload: Vec<u8> = batches[2].iter().flat_map(Record::encode).collect();
    let (payload, records, durability) = (&payload[..], NonZeroU32::MIN, Durability::Synced);
    let producer = Some(Producer { id, epoch: 1, sequence: 0 });
    let retry = Append { payload, records, durability, expected: None, producer };
    let retry = log.append_batch(retry).unwrap();
    assert_eq!((retry.base_offset(), retry.is_duplicate()), (Offset::new(3), true));
    let readers: Vec<_> = log.readers().unwrap().iter().map(reader_line).collect();
    assert_eq!(readers, example.readers);
    assert_eq!(read_readers(data.path()).lines, readers);
    assert_eq!(log.bounds().end, Offset::new(4));
    logs.close().unwrap();
    for (path, bytes) in &example.files {
        let now = fs::read(data.path().join(path)).unwrap();
        assert!(now == *bytes, "{path} is a clean log's and was changed by a start");
    }
}
