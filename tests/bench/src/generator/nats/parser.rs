//! Parsing what a NATS server sends: lines, some followed by a payload.

use anyhow::{Context, bail};

/// Bytes that were received and not parsed yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were parsed.
    parsed: usize,
}

/// One operation of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    Message { subject: &'a str, payload: &'a [u8] },
    Ping,
    Pong,
}

impl Parser {
    /// Appends a frame. The server may split an operation over frames.
    pub(super) fn feed(&mut self, frame: &[u8]) {
        self.buffer.drain(..self.parsed);
        self.parsed = 0;
        self.buffer.extend_from_slice(frame);
    }

    /// Returns the next complete operation, if any.
    ///
    /// # Errors
    ///
    /// The server sent `-ERR`, or something that is not its protocol.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Operation<'_>>> {
        loop {
            let rest = &self.buffer[self.parsed..];
            let Some(length) = rest.windows(2).position(|end| end == b"\r\n") else {
                return Ok(None);
            };
            let line = std::str::from_utf8(&rest[..length])?;
            let line_end = length + 2;
            if let Some(words) = line.strip_prefix("MSG ") {
                let (subject, size) = subject_and_size(words)?;
                let end = line_end + size + 2;
                if rest.len() < end {
                    return Ok(None);
                }
                self.parsed += end;
                let payload = &rest[line_end..line_end + size];
                return Ok(Some(Operation::Message { subject, payload }));
            }
            self.parsed += line_end;
            match line.split(' ').next() {
                Some("PING") => return Ok(Some(Operation::Ping)),
                Some("PONG") => return Ok(Some(Operation::Pong)),
                Some("INFO" | "+OK") => {}
                _ => bail!("NATS sent {line:?}"),
            }
        }
    }
}

/// `subject sid [reply] size`
fn subject_and_size(words: &str) -> anyhow::Result<(&str, usize)> {
    let (subject, _) = words.split_once(' ').context("a message without a size")?;
    let size = words.rsplit(' ').next().unwrap_or_default();
    Ok((subject, size.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_wherever_frames_end() {
        let bytes = b"INFO {}\r\nPING\r\nMSG a.b 1 5\r\nhello\r\n+OK\r\nMSG c 2 reply 2\r\n\r\n\r\nPONG\r\n";
        for cut in 0..bytes.len() {
            let mut parser = Parser::default();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                parser.feed(part);
                while let Some(operation) = parser.next().unwrap() {
                    seen.push(format!("{operation:?}"));
                }
            }
            let message =
                |subject, payload| format!("{:?}", Operation::Message { subject, payload });
            let expected = [
                "Ping".to_owned(),
                message("a.b", b"hello"),
                message("c", b"\r\n"),
                "Pong".to_owned(),
            ];
            assert_eq!(seen, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_error_of_the_server_is_returned() {
        let mut parser = Parser::default();
        parser.feed(b"-ERR 'Unknown Protocol Operation'\r\n");
        assert!(parser.next().is_err());
    }
}
