//! A program's output as a response (RFC 3875, 6).

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use ssr_wasm::abi::error::RenderError;
use ssr_wasm::abi::response::{ResponseHead, ResponsePart, ResponseSink};

/// Most bytes of the headers that a program prints.
const MAX_HEAD: usize = 64 << 10;

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// How a program has answered.
pub(super) enum Answered {
    /// With a response.
    Sent,
    /// With nothing that is one, and nothing has been sent.
    Wrong(String),
}

/// Sends a response on as it is printed, its head with the first part of its body.
pub(super) async fn forward(
    mut output: impl AsyncRead + Unpin,
    sink: &ResponseSink,
) -> Result<Answered, RenderError> {
    let mut bytes = BytesMut::new();
    let broken = |error: std::io::Error| RenderError::Trapped(format!("the output broke off: {error}"));
    let (head, body) = loop {
        if let Some((head, body)) = head_of(&bytes) {
            break (head, body);
        }
        if bytes.len() > MAX_HEAD {
            return wrong(output, format!("the program's headers have more than {MAX_HEAD} bytes")).await;
        }
        bytes.reserve(CHUNK);
        if output.read_buf(&mut bytes).await.map_err(broken)? == 0 {
            let reason = match bytes.is_empty() {
                true => "the program printed nothing".to_owned(),
                false => "the program printed no headers and an empty line before its page".to_owned(),
            };
            return Ok(Answered::Wrong(reason));
        }
    };
    let head = match parse(&bytes[..head]) {
        Ok(head) => head,
        Err(reason) => return wrong(output, reason).await,
    };
    let mut chunk = bytes.split_off(body);
    let send = async |part| sink.parts.send(part).await.map_err(|_| RenderError::ClientGone);
    let mut head = Some(head);
    loop {
        if !chunk.is_empty() {
            if let Some(head) = head.take() {
                send(ResponsePart::Head(head)).await?;
            }
            send(ResponsePart::Chunk(chunk.split().freeze())).await?;
        }
        chunk.reserve(CHUNK);
        if output.read_buf(&mut chunk).await.map_err(broken)? == 0 {
            let last = head.take().map(|head| ResponsePart::Whole(head, Bytes::new()));
            send(last.unwrap_or(ResponsePart::End)).await?;
            return Ok(Answered::Sent);
        }
    }
}

/// Reads the rest: the program should end by itself, so that its exit code is known.
async fn wrong(mut output: impl AsyncRead + Unpin, reason: String) -> Result<Answered, RenderError> {
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    Ok(Answered::Wrong(reason))
}

/// Where the headers end and the body begins, once the empty line is there.
fn head_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut start = 0;
    while let Some(length) = bytes[start..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[start..start + length];
        if line.is_empty() || line == b"\r" {
            return Some((start, start + length + 1));
        }
        start += length + 1;
    }
    None
}

fn parse(head: &[u8]) -> Result<ResponseHead, String> {
    let (mut status, mut headers, mut location, mut typed) = (None, String::new(), false, false);
    for line in head.split(|&byte| byte == b'\n') {
        // Latin-1, as in HTTP.
        let line: String = line.iter().map(|&byte| char::from(byte)).collect();
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(format!("the program printed '{line}' among its headers, which is none"));
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "status" => {
                let code = value.split(' ').next().unwrap_or_default();
                status = Some(code.parse().map_err(|_| format!("'{value}' is no status"))?);
                continue;
            }
            "location" => location = true,
            "content-type" => typed = true,
            _ => {}
        }
        headers.push_str(&format!("{name}\n{value}\n"));
    }
    // The specification wants one of the first two; programs that report an error often set
    // the status alone.
    if !location && !typed && status.is_none() {
        return Err("the program printed neither Content-Type nor Location nor Status".to_owned());
    }
    Ok(ResponseHead { status: status.unwrap_or(if location { 302 } else { 200 }), headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_with_an_empty_line() {
        assert_eq!(head_of(b"a: b\n\nbody"), Some((5, 6)));
        assert_eq!(head_of(b"a: b\r\n\r\nbody"), Some((6, 8)));
        assert_eq!(head_of(b"\nbody"), Some((0, 1)));
        assert_eq!(head_of(b"a: b\n"), None);
        assert_eq!(head_of(b""), None);
    }

    #[test]
    fn headers_are_those_of_cgi() {
        let head = |text: &str| parse(text.as_bytes()).map(|head| (head.status, head.headers));
        let plain = "content-type\ntext/plain\n".to_owned();
        assert_eq!(head("Content-Type: text/plain\r\n"), Ok((200, plain.clone())));
        assert_eq!(head("content-type:text/plain\nStatus: 404 Not Found\n"), Ok((404, plain)));
        assert_eq!(head("Location: /there\n"), Ok((302, "location\n/there\n".to_owned())));
        assert_eq!(head("Status: 204\n"), Ok((204, String::new())));
        assert_eq!(
            head("Content-Type: a\nSet-Cookie: b\nSet-Cookie: c: d\n").unwrap().1,
            "content-type\na\nset-cookie\nb\nset-cookie\nc: d\n"
        );
        for (text, says) in [
            ("X-Other: 1\n", "neither Content-Type"),
            ("hello world\n", "'hello world' among its headers"),
            ("Status: fine\n", "'fine' is no status"),
            ("", "neither Content-Type"),
        ] {
            let error = head(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
