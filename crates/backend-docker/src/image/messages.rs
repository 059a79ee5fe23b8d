//! What an engine says while it makes an image: JSON texts, one after the other.

use serde::Deserialize;

/// More than any message: an error quotes what a registry said.
const LONGEST: usize = 256 << 10;

/// One message of a pull or an import.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    /// The layer that it is about, by the beginning of its digest.
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    #[serde(rename = "progressDetail")]
    pub(super) progress: Option<Amounts>,
    /// The failure of the whole. Engines say it twice, some of them only here.
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
}

/// Bytes of a layer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Amounts {
    pub(super) current: Option<i64>,
    pub(super) total: Option<i64>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    message: Option<String>,
}

impl Message {
    /// Why the whole failed, if this message says that it did.
    pub(super) fn failure(&self) -> Option<&str> {
        let detail = self.error_detail.as_ref();
        let detail = detail.map(|detail| detail.message.as_deref().unwrap_or_default());
        // The detail may be there without a text.
        let texts = [detail, self.error.as_deref()];
        let said = texts.iter().flatten().find(|text| !text.is_empty());
        said.or(texts.iter().flatten().next()).copied()
    }
}

/// Cuts a stream of bytes into messages, which end with their lines.
#[derive(Debug, Default)]
pub(super) struct Messages {
    line: Vec<u8>,
}

impl Messages {
    /// Takes the next bytes, and gives what is whole now.
    ///
    /// # Errors
    ///
    /// What is wrong, if a line is not a message or too long to be one.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Message>, String> {
        let mut whole = vec![];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LONGEST {
                return Err("a message that does not end".into());
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                whole.extend(read(&std::mem::take(&mut self.line))?);
            }
        }
        Ok(whole)
    }

    /// Takes the end: the last message may have no line end.
    pub(super) fn finish(self) -> Result<Option<Message>, String> {
        read(&self.line)
    }
}

fn read(line: &[u8]) -> Result<Option<Message>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(line)
        .map(Some)
        .map_err(|error| format!("a message that is none: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = concat!(
        r#"{"status":"Pulling from x","id":"1"}"#,
        "\r\n",
        r#"{"status":"Downloading","progressDetail":{"current":512,"total":1024},"progress":"[=> ]","id":"a"}"#,
        "\r\n\r\n",
        r#"{"status":"Pull complete","progressDetail":{},"id":"a"}"#,
    );

    fn read_in(parts: &[&[u8]]) -> Result<Vec<Message>, String> {
        let mut messages = Messages::default();
        let mut all = vec![];
        for part in parts {
            all.extend(messages.take(part)?);
        }
        all.extend(messages.finish()?);
        Ok(all)
    }

    #[test]
    fn an_error_is_found_wherever_it_is_said() {
        for (text, failure) in [
            (
                r#"{"errorDetail":{"message":"no"},"error":"no!"}"#,
                Some("no"),
            ),
            (r#"{"error":"no"}"#, Some("no")),
            (r#"{"errorDetail":{},"error":"no"}"#, Some("no")),
            (r#"{"errorDetail":{"code":1}}"#, Some("")),
            (r#"{"status":"error"}"#, None),
        ] {
            let read = read_in(&[text.as_bytes()]).unwrap();
            assert_eq!(read[0].failure(), failure, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error_and_memory_is_bounded() {
        assert!(read_in(&[b"<html>\n"]).unwrap_err().contains("none"));
        assert!(read_in(&[b"{\"status\":\"cut"]).is_err());
        let endless = vec![b'x'; LONGEST + 1];
        assert!(read_in(&[&endless]).unwrap_err().contains("end"));
    }

    proptest! {
        #[test]
        fn the_cuts_between_reads_do_not_matter(first in 0..STREAM.len(), second in 0..STREAM.len()) {
            let (first, second) = (first.min(second), first.max(second));
            let bytes = STREAM.as_bytes();
            let read = read_in(&[&bytes[..first], &bytes[first..second], &bytes[second..]]).unwrap();
            prop_assert_eq!(read, read_in(&[bytes]).unwrap());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read_in(&[&bytes]);
        }
    }
}
