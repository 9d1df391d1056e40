//! The files that samples are read from, and where in them the numbers are.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use npyz::{DType, NpyHeader, Order};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// Bytes of a header at most, as the format itself has it.
const LARGEST_HEADER: u64 = 100_000_000;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// Why a file holds no samples, or an error of the operating system.
#[derive(Debug)]
pub(super) enum Problem {
    Io(io::Error),
    Format(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Io(error)
    }
}

fn problem<T>(text: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Format(text.into()))
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F64,
    F32,
}

impl Kind {
    /// Of a number.
    fn bytes(self) -> usize {
        match self {
            Kind::F64 => 8,
            Kind::F32 => 4,
        }
    }
}

/// n rows of so many numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    rows: usize,
    width: usize,
    kind: Kind,
    /// Bytes of the file, or of the archive's entry, before them.
    offset: u64,
}

impl Array {
    fn new(name: &str, shape: &[usize], kind: Kind, offset: u64) -> Result<Array, Problem> {
        match *shape {
            [rows] => Ok(Array { rows, width: 1, kind, offset }),
            [rows, width] => Ok(Array { rows, width, kind, offset }),
            _ => problem(format!("{name} has shape {shape:?}, expected (samples, numbers)")),
        }
    }

    fn row_bytes(&self) -> Result<u64, Problem> {
        let bytes =
            self.width.checked_mul(self.kind.bytes()).and_then(|bytes| u64::try_from(bytes).ok());
        bytes.map_or_else(|| problem("the shapes are too large"), Ok)
    }
}

/// Where the numbers of a file are.
#[derive(Clone, Debug)]
pub(super) enum Layout {
    /// x and y, each from its own place on.
    Plain { x: Array, y: Array },
    /// One array whose last columns are y.
    Joint { all: Array, outputs: usize },
    /// `x.npy` and `y.npy` in an archive.
    Archive { x: Array, y: Array },
    /// Columns of text, those of x and those of y.
    Text { rows: usize, x: Vec<usize>, y: Vec<usize> },
}

impl Layout {
    /// Of a file, by the end of its name; `outputs` are the last columns of a `.npy` file that are y.
    pub(super) fn of(path: &Path, outputs: Option<usize>) -> Result<Layout, Problem> {
        if !fs::metadata(path)?.is_file() {
            return Err(Problem::Io(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a plain file",
            )));
        }
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        if outputs.is_some() && ending != "npy" {
            return problem(
                "the file itself says which numbers are outputs; they are told of .npy alone",
            );
        }
        let layout = match ending.as_str() {
            "npy" => npy(path, outputs.unwrap_or(1))?,
            "npz" => {
                let array = |name| archived(path, name).map(|(array, _)| array);
                Layout::Archive { x: array("x")?, y: array("y")? }
            }
            "csv" => text(path)?,
            _ => safetensors(path)?,
        };
        layout.check()?;
        Ok(layout)
    }

    fn check(&self) -> Result<(), Problem> {
        let (rows, d, m) = self.dims();
        if let Layout::Plain { x, y } | Layout::Archive { x, y } = self
            && x.rows != y.rows
        {
            return problem(format!("x has {} samples and y has {}", x.rows, y.rows));
        }
        if rows == 0 || d == 0 || m == 0 {
            return problem(format!(
                "{rows} samples of {d} inputs and {m} outputs: one of each is needed"
            ));
        }
        Ok(())
    }

    /// Samples, inputs, outputs.
    pub(super) fn dims(&self) -> (usize, usize, usize) {
        match self {
            Layout::Plain { x, y } | Layout::Archive { x, y } => (x.rows, x.width, y.width),
            Layout::Joint { all, outputs } => (all.rows, all.width - outputs, *outputs),
            Layout::Text { rows, x, y } => (*rows, x.len(), y.len()),
        }
    }

    /// Are the outputs stored in f32?
    pub(super) fn is_single(&self) -> bool {
        match self {
            Layout::Plain { y, .. } | Layout::Archive { y, .. } => y.kind == Kind::F32,
            Layout::Joint { all, .. } => all.kind == Kind::F32,
            Layout::Text { .. } => false,
        }
    }

    /// The samples from number `from` on.
    pub(super) fn rows(&self, path: &Path, from: usize) -> Result<Box<dyn Rows>, Problem> {
        Ok(match self {
            Layout::Plain { x, y } => {
                let (x, y) = (Numbers::plain(path, x, from)?, Numbers::plain(path, y, from)?);
                Box::new(Binary { x, y: Some(y) })
            }
            Layout::Joint { all, .. } => {
                Box::new(Binary { x: Numbers::plain(path, all, from)?, y: None })
            }
            Layout::Archive { .. } => {
                let open = |name| Numbers::archived(path, name, from);
                Box::new(Binary { x: open("x")?, y: Some(open("y")?) })
            }
            Layout::Text { x, y, .. } => {
                let mut reader = csv_reader(path)?;
                let mut record = csv::ByteRecord::new();
                for _ in 0..from {
                    reader.read_byte_record(&mut record).map_err(of_csv)?;
                }
                Box::new(Text { reader, record, x: x.clone(), y: y.clone() })
            }
        })
    }
}

/// Samples one after another.
pub(super) trait Rows: Send {
    /// Fills x and y, sample by sample; both hold the same number of samples.
    fn read(&mut self, x: &mut [f64], y: &mut [f64]) -> Result<(), Problem>;
}

/// Numbers one after another.
struct Numbers {
    reader: Box<dyn Read + Send>,
    kind: Kind,
    width: usize,
    bytes: Vec<u8>,
}

impl Numbers {
    fn new(reader: Box<dyn Read + Send>, array: &Array) -> Numbers {
        Numbers { reader, kind: array.kind, width: array.width, bytes: Vec::new() }
    }

    fn plain(path: &Path, array: &Array, from: usize) -> Result<Numbers, Problem> {
        let mut file = File::open(path)?;
        let skipped = array.row_bytes()?.checked_mul(from as u64);
        let Some(at) = skipped.and_then(|skipped| array.offset.checked_add(skipped)) else {
            return problem("the shapes are too large");
        };
        file.seek(SeekFrom::Start(at))?;
        Ok(Numbers::new(Box::new(BufReader::with_capacity(BUFFER, file)), array))
    }

    fn archived(path: &Path, name: &str, from: usize) -> Result<Numbers, Problem> {
        let (array, mut reader) = archived(path, name)?;
        let skipped = array.row_bytes()?.saturating_mul(from as u64);
        io::copy(&mut reader.by_ref().take(skipped), &mut io::sink())?;
        Ok(Numbers::new(reader, &array))
    }

    fn read(&mut self, out: &mut [f64]) -> Result<(), Problem> {
        self.bytes.resize(out.len() * self.kind.bytes(), 0);
        self.reader.read_exact(&mut self.bytes)?;
        match self.kind {
            Kind::F64 => {
                for (out, bytes) in out.iter_mut().zip(self.bytes.as_chunks().0) {
                    *out = f64::from_le_bytes(*bytes);
                }
            }
            Kind::F32 => {
                for (out, bytes) in out.iter_mut().zip(self.bytes.as_chunks().0) {
                    *out = f64::from(f32::from_le_bytes(*bytes));
                }
            }
        }
        Ok(())
    }
}

struct Binary {
    x: Numbers,
    /// `None`: y are the last numbers of each row of x.
    y: Option<Numbers>,
}

impl Rows for Binary {
    fn read(&mut self, x: &mut [f64], y: &mut [f64]) -> Result<(), Problem> {
        if let Some(numbers) = &mut self.y {
            self.x.read(x)?;
            return numbers.read(y);
        }
        let width = self.x.width;
        let count = (x.len() + y.len()) / width;
        let (d, m) = (x.len() / count.max(1), y.len() / count.max(1));
        let mut all = vec![0.0; count * width];
        self.x.read(&mut all)?;
        let rows = all.chunks_exact(width);
        for ((row, x), y) in rows.zip(x.chunks_exact_mut(d)).zip(y.chunks_exact_mut(m)) {
            x.copy_from_slice(&row[..d]);
            y.copy_from_slice(&row[d..]);
        }
        Ok(())
    }
}

struct Text {
    reader: csv::Reader<File>,
    record: csv::ByteRecord,
    x: Vec<usize>,
    y: Vec<usize>,
}

impl Rows for Text {
    fn read(&mut self, x: &mut [f64], y: &mut [f64]) -> Result<(), Problem> {
        let rows = x.chunks_exact_mut(self.x.len()).zip(y.chunks_exact_mut(self.y.len()));
        for (x, y) in rows {
            if !self.reader.read_byte_record(&mut self.record).map_err(of_csv)? {
                return problem("the file has become shorter");
            }
            let columns = self.x.iter().zip(x).chain(self.y.iter().zip(y));
            for (&column, out) in columns {
                let field = std::str::from_utf8(&self.record[column]).unwrap_or("").trim();
                let Ok(number) = field.parse() else {
                    let line = self.record.position().map_or(0, csv::Position::line);
                    return problem(format!("line {line}: {field:?} is no number"));
                };
                *out = number;
            }
        }
        Ok(())
    }
}

fn safetensors(path: &Path) -> Result<Layout, Problem> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut size = [0; 8];
    let broken = |what: &str| Problem::Format(format!("not a safetensors file of samples: {what}"));
    file.read_exact(&mut size).map_err(|_| broken("it is too short"))?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_HEADER || size > length.saturating_sub(8) {
        return Err(broken("its header is longer than the file, or than any header"));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header)?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|e| broken(&e.to_string()))?;
    if (header.data_len() as u64).checked_add(8 + size) != Some(length) {
        return Err(broken("it is cut off, or longer than its tensors"));
    }
    let array = |name: &str| {
        let info =
            header.info(name).ok_or_else(|| broken(&format!("tensor {name:?} is missing")))?;
        let kind = match info.dtype {
            Dtype::F64 => Kind::F64,
            Dtype::F32 => Kind::F32,
            other => {
                return Err(broken(&format!("{name:?} is of type {other}; F32 and F64 are read")));
            }
        };
        Array::new(name, &info.shape, kind, 8 + size + info.data_offsets.0 as u64)
    };
    Ok(Layout::Plain { x: array("x")?, y: array("y")? })
}

/// What the header of an array of NumPy says; its numbers follow.
fn npy_array(name: &str, reader: &mut impl Read) -> Result<Array, Problem> {
    let mut counted = Counted { inner: reader, bytes: 0 };
    let header = NpyHeader::from_reader(&mut counted)
        .map_err(|error| Problem::Format(format!("{name} is no array of NumPy: {error}")))?;
    let offset = counted.bytes;
    let kind = match header.dtype() {
        DType::Plain(kind) => match kind.to_string().as_str() {
            "<f8" => Kind::F64,
            "<f4" => Kind::F32,
            other => return problem(format!("{name} is of type {other}; <f4 and <f8 are read")),
        },
        _ => return problem(format!("{name} holds records; arrays of <f4 and <f8 are read")),
    };
    let shape: Option<Vec<usize>> =
        header.shape().iter().map(|&n| usize::try_from(n).ok()).collect();
    let Some(shape) = shape else { return problem("the shapes are too large") };
    if header.order() == Order::Fortran && shape.iter().filter(|&&n| n > 1).count() > 1 {
        return problem(format!("{name} is stored by columns; save numpy.ascontiguousarray of it"));
    }
    Array::new(name, &shape, kind, offset)
}

/// A reader that knows where it is.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn npy(path: &Path, outputs: usize) -> Result<Layout, Problem> {
    let all = npy_array("the array", &mut BufReader::new(File::open(path)?))?;
    if outputs == 0 || outputs >= all.width {
        return problem(format!(
            "a row has {} numbers, of which the last {outputs} cannot be the outputs",
            all.width
        ));
    }
    let bytes =
        all.row_bytes()?.checked_mul(all.rows as u64).and_then(|n| n.checked_add(all.offset));
    if bytes.is_none_or(|bytes| bytes > fs::metadata(path).map_or(0, |found| found.len())) {
        return problem("it is cut off");
    }
    Ok(Layout::Joint { all, outputs })
}

/// An array of an archive, and a reader of its numbers.
fn archived(path: &Path, name: &str) -> Result<(Array, Box<dyn Read + Send>), Problem> {
    let broken = |error: ZipError| match error {
        ZipError::Io(error) => Problem::Io(error),
        other => Problem::Format(format!("not an archive of NumPy with {name}.npy: {other}")),
    };
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?)).map_err(broken)?;
    let entry = archive.by_name(&format!("{name}.npy")).map_err(broken)?;
    let Some(start) = entry.data_start() else {
        return problem(format!("{name}.npy cannot be found in the archive"));
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let packed = BufReader::with_capacity(BUFFER, file.take(entry.compressed_size()));
    let unpacked: Box<dyn Read + Send> = match entry.compression() {
        CompressionMethod::Stored => Box::new(packed),
        CompressionMethod::Deflated => Box::new(BufReader::new(DeflateDecoder::new(packed))),
        other => return problem(format!("{name}.npy is compressed by {other}, which is not read")),
    };
    let (left, expected) = (entry.size(), entry.crc32());
    let mut reader = Box::new(Checked { inner: CrcReader::new(unpacked), left, expected });
    let array = npy_array(name, &mut reader)?;
    let bytes =
        array.row_bytes()?.checked_mul(array.rows as u64).and_then(|n| n.checked_add(array.offset));
    if bytes != Some(entry.size()) {
        return problem(format!("{name}.npy is cut off, or longer than its array"));
    }
    Ok((array, reader))
}

/// An entry of an archive whose last byte is given only if the checksum of all of them is that of the archive.
struct Checked<R> {
    inner: CrcReader<R>,
    /// Bytes to come.
    left: u64,
    expected: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        if read > 0 && self.left == 0 && self.inner.crc().sum() != self.expected {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an array of the archive has another checksum than the archive tells: it is damaged",
            ));
        }
        Ok(read)
    }
}

fn csv_reader(path: &Path) -> Result<csv::Reader<File>, Problem> {
    Ok(csv::Reader::from_reader(File::open(path)?))
}

fn of_csv(error: csv::Error) -> Problem {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Problem::Io(error),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Problem::Format(format!(
            "line {}: {len} fields, the header has {expected_len}",
            pos.map_or(0, |pos| pos.line())
        )),
        other => Problem::Format(format!("{other:?}")),
    }
}

/// A header, and as many fields in each line; the columns named `y`, or `y` and a number, are the outputs.
fn text(path: &Path) -> Result<Layout, Problem> {
    let mut reader = csv_reader(path)?;
    let header = reader.headers().map_err(of_csv)?;
    let is_output = |name: &str| {
        let rest = name.trim().strip_prefix('y').map(|rest| rest.trim_start_matches('_'));
        rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (y, x): (Vec<_>, Vec<_>) = header.iter().enumerate().partition(|(_, name)| is_output(name));
    if y.is_empty() {
        return problem("no column is named y (or y0, y1, ...): those are the outputs");
    }
    let columns = |named: Vec<(usize, &str)>| named.into_iter().map(|(column, _)| column).collect();
    let (x, y) = (columns(x), columns(y));
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(of_csv)? {
        rows += 1;
    }
    Ok(Layout::Text { rows, x, y })
}
