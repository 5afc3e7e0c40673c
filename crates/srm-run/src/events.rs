//! Write TensorBoard event files: scalars, sample grids and histograms.
//!
//! A file is a sequence of records (length, its checksum, an `Event` message, its checksum; TensorFlow's record format
//! with masked CRC-32C). The messages are those of tensorflow/core/util/event.proto and framework/summary.proto, as far
//! as they are needed.

use crate::log_file::LogFile;
use crate::{PerImage, Result, ScoreRecord, StepRecord};
use prost::Message;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1 is START: the reader forgets what it had from this step on.
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(message, optional, tag = "5")]
    histo: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// Channels.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(double, tag = "1")]
    min: f64,
    #[prost(double, tag = "2")]
    max: f64,
    #[prost(double, tag = "3")]
    num: f64,
    #[prost(double, tag = "4")]
    sum: f64,
    #[prost(double, tag = "5")]
    sum_squares: f64,
    /// Upper ends of the buckets.
    #[prost(double, repeated, tag = "6")]
    bucket_limit: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    bucket: Vec<f64>,
}

/// Bytes of events that wait in memory for room on the disk; further ones are left out until they are written. They are
/// but a copy of the logs and the pictures.
const MOST_WAITING: usize = 64 << 20;
/// Buckets of a histogram, all of one width.
const BUCKETS: usize = 30;

/// One event file.
pub(crate) struct Events {
    log: LogFile,
    clock: fn() -> f64,
}

impl Events {
    /// The file `name` in `folder`, of which the first `length` bytes count; a fresh one gets its header. Nothing is
    /// written yet.
    pub(crate) fn new(folder: &Path, name: &str, length: u64) -> Self {
        let mut events = Self { log: LogFile::new(&folder.join(name), length), clock: wall_time };
        if events.log.extent().1 == 0 {
            let header = events.encoded(0, |event| event.file_version = Some("brain.Event:2".to_owned()));
            events.log.wait(&header);
        }
        events
    }

    /// The numbers of a logged update, under their names in `metrics.jsonl`, with histograms of those behind the means.
    pub(crate) fn record(&mut self, record: &StepRecord, per_image: &PerImage) -> Result<()> {
        let scalars = [
            ("f_data", record.f_data),
            ("f_sample", record.f_sample),
            ("gap", record.gap),
            ("chain_grad_norm", record.chain_grad_norm),
            ("theta_grad_norm", record.theta_grad_norm),
            ("sample_std", record.sample_std),
            ("lr", record.lr),
            ("data_noise", record.data_noise),
            ("seconds", record.seconds),
            ("images_seen", record.images_seen as f64),
        ];
        let scalars = scalars.map(|(tag, value)| (format!("train/{tag}"), value));
        let of_grids = record.grids.iter().flat_map(|grid| {
            let numbers = [
                ("f_data", grid.f_data),
                ("f_sample", grid.f_sample),
                ("gap", grid.gap),
                ("chain_grad_norm", grid.chain_grad_norm),
                ("sample_std", grid.sample_std),
            ];
            numbers.map(|(tag, value)| (format!("grid{}/{tag}", grid.size), value))
        });
        let scalars = scalars.into_iter().chain(of_grids).map(|(tag, value)| Value {
            tag,
            simple_value: Some(value as f32),
            ..Value::default()
        });
        let behind = [
            ("f_data", &per_image.f_data),
            ("f_sample", &per_image.f_sample),
            ("chain_grad_norm", &per_image.chain_grad_norm),
        ];
        let histograms = behind.into_iter().filter(|(_, values)| !values.is_empty()).map(|(tag, values)| Value {
            tag: format!("images/{tag}"),
            histo: Some(histogram(values)),
            ..Value::default()
        });
        let value = scalars.chain(histograms).collect();
        self.write(record.update, |event| event.summary = Some(Summary { value }))
    }

    /// A score, under its name.
    pub(crate) fn score(&mut self, record: &ScoreRecord) -> Result<()> {
        let value = |tag: &str, number: f64| Value {
            tag: format!("score/{}", tag.replace(' ', "_")),
            simple_value: Some(number as f32),
            ..Value::default()
        };
        let values = record.score.map(|score| value(&record.name, score)).into_iter();
        let value = values.chain(record.details.iter().map(|(tag, &number)| value(tag, number))).collect();
        self.write(record.update, |event| event.summary = Some(Summary { value }))
    }

    /// A picture, as the bytes of its PNG file.
    pub(crate) fn picture(&mut self, update: u64, png: Vec<u8>) -> Result<()> {
        // width and height stand big-endian in the first chunk of every PNG, IHDR; the colour type behind the bit depth
        let number = |at: usize| png.get(at..at + 4).map_or(0, |b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let colorspace = match png.get(25) {
            Some(0) => 1,
            Some(6) => 4,
            _ => 3,
        };
        let image = Image { width: number(16), height: number(20), colorspace, encoded_image_string: png };
        let value = vec![Value { tag: "samples".to_owned(), image: Some(image), ..Value::default() }];
        self.write(update, |event| event.summary = Some(Summary { value }))
    }

    /// The run goes on from `update`: the reader forgets what came after it.
    pub(crate) fn restart_after(&mut self, update: u64) -> Result<()> {
        self.write(update.saturating_add(1), |event| event.session_log = Some(SessionLog { status: 1 }))
    }

    /// The file's log.
    pub(crate) fn log(&mut self) -> &mut LogFile {
        &mut self.log
    }

    fn write(&mut self, update: u64, fill: impl FnOnce(&mut Event)) -> Result<()> {
        if self.log.waiting() > MOST_WAITING {
            self.log.write()?;
        }
        let event = self.encoded(update, fill);
        self.log.append(&event)
    }

    fn encoded(&self, update: u64, fill: impl FnOnce(&mut Event)) -> Vec<u8> {
        let mut event = Event { wall_time: (self.clock)(), step: update as i64, ..Event::default() };
        fill(&mut event);
        framed(&event.encode_to_vec())
    }
}

/// A name that TensorBoard takes for an event file.
pub(crate) fn new_name() -> String {
    format!("events.out.tfevents.{}.srm", wall_time() as u64)
}

/// Whether a file of a run folder is one.
pub(crate) fn is_events(name: &str) -> bool {
    name.starts_with("events.out.tfevents.")
}

fn wall_time() -> f64 {
    // a clock before 1970 is no reason to stop
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), message, &masked(message).to_le_bytes()].concat()
}

/// TensorFlow's mask over the checksum, so that a checksum of data that holds checksums keeps its strength.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn histogram(values: &[f32]) -> Histogram {
    let values = || values.iter().map(|&value| f64::from(value));
    let (min, max) = values().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let width = ((max - min) / BUCKETS as f64).max(1e-12);
    let mut bucket = vec![0.0; BUCKETS];
    for value in values() {
        bucket[(((value - min) / width) as usize).min(BUCKETS - 1)] += 1.0;
    }
    Histogram {
        min,
        max,
        num: values().count() as f64,
        sum: values().sum(),
        sum_squares: values().map(|value| value * value).sum(),
        bucket_limit: (1..=BUCKETS).map(|i| min + width * i as f64).collect(),
        bucket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn checksums_are_those_of_the_format() {
        // RFC 3720, B.4: 32 zero bytes
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn histograms_count_every_value_once() {
        let histogram = histogram(&[1.0, 2.0, 2.0, 4.0]);
        assert_eq!((histogram.min, histogram.max, histogram.num, histogram.sum), (1.0, 4.0, 4.0, 9.0));
        assert_eq!(histogram.bucket.iter().sum::<f64>(), 4.0);
        assert_eq!((histogram.bucket[0], histogram.bucket[10], histogram.bucket[29]), (1.0, 2.0, 1.0));
        assert_eq!(super::histogram(&[3.0; 5]).bucket[0], 5.0);
    }

    #[test]
    fn a_clock_that_goes_backwards_changes_no_order() {
        static NOW: AtomicU64 = AtomicU64::new(1_000);
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::new(folder.path(), "events.out.tfevents.1.srm", 0);
        events.clock = || NOW.fetch_sub(100, Ordering::Relaxed) as f64;
        for update in 1..4 {
            events.record(&StepRecord { update, ..StepRecord::default() }, &PerImage::default()).unwrap();
        }
        let found = read(&std::fs::read(folder.path().join(events.log.extent().0)).unwrap());
        assert_eq!(found.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(found[3].wall_time < found[1].wall_time);
    }

    /// All events of a file, its checksums checked.
    fn read(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
            let size = u64::from_le_bytes(*length) as usize;
            assert_eq!(rest[..4], masked(length).to_le_bytes());
            let message = &rest[4..4 + size];
            assert_eq!(rest[4 + size..8 + size], masked(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            bytes = &rest[8 + size..];
        }
        events
    }
}
