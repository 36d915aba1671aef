//! Compressed streams.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// The most bytes that are decompressed from one file.
pub(super) const MAX_UNPACKED: u64 = 8 << 30;

/// How many first bytes are enough to tell a file's kind.
const HEAD: u64 = 4096;

/// How a stream is packed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Zstd,
    Tar,
    Other,
}

impl Format {
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one that is to be skipped (RFC 8878, 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            head if head.get(257..262) == Some(b"ustar") => Self::Tar,
            // An archive without a file is zeros only.
            head if head.len() >= 512 && head.iter().all(|&byte| byte == 0) => Self::Tar,
            _ => Self::Other,
        }
    }
}

/// The first bytes of a file, which is read from its beginning afterwards.
pub(super) fn head(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let head = first_bytes(file.by_ref())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(head)
}

/// As many bytes of a stream as tell what it is.
pub(super) fn first_bytes(from: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    from.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// All of a stream, unless it has more than `most` bytes.
pub(super) fn whole(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// What a stream holds once it is unpacked.
pub(super) fn unpacked<'a>(from: impl Read + 'a, format: Format) -> Box<dyn Read + 'a> {
    let unpacked: Box<dyn Read> = match format {
        Format::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(from))),
        Format::Zstd => Box::new(Zstd { from: Some(BufReader::new(from)), frame: None }),
        Format::Tar | Format::Other => Box::new(from),
    };
    Box::new(Bounded { from: unpacked, left: MAX_UNPACKED })
}

/// A stream that ends with an error where it would be too long: a small file can unpack to
/// anything.
struct Bounded<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {} GiB", MAX_UNPACKED >> 30)))?;
        Ok(read)
    }
}

/// All frames of a stream: parallel compressors write many.
struct Zstd<R: Read> {
    /// Between frames.
    from: Option<BufReader<R>>,
    frame: Option<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>,
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
                self.from = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut from) = self.from.take() else { return Ok(0) };
            if io::BufRead::fill_buf(&mut from)?.is_empty() {
                return Ok(0);
            }
            if skip(&mut from)? {
                self.from = Some(from);
                continue;
            }
            let frame = StreamingDecoder::new(from).map_err(io::Error::other)?;
            self.frame = Some(frame);
        }
    }
}

/// Skips a frame that is to be skipped, if one comes next.
fn skip<R: Read>(from: &mut BufReader<R>) -> io::Result<bool> {
    let head = io::BufRead::fill_buf(from)?;
    if !matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
        return Ok(false);
    }
    let mut header = [0; 8];
    from.read_exact(&mut header)?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    io::copy(&mut from.take(length.into()), &mut io::sink())?;
    Ok(true)
}
