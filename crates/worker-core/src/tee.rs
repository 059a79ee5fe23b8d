//! Two sinks for one output.

use std::io;

use async_trait::async_trait;
use backend_core::OutputSink;

/// Writes everything to two sinks, such as a terminal and a file.
///
/// A sink that fails is not written to again, and the other one gets all that
/// follows: the output is lost only when both have failed. Each piece is
/// handed to both at once, so that a slow one slows the script, and keeps
/// nothing from the other.
#[derive(Debug)]
pub struct Tee<A, B> {
    first: Branch<A>,
    second: Branch<B>,
}

#[derive(Debug)]
struct Branch<S> {
    sink: S,
    error: Option<io::Error>,
    /// Whether a write is under way. One that was dropped there has left half
    /// of a piece behind, and nothing may follow it.
    writing: bool,
}

impl<A: OutputSink, B: OutputSink> Tee<A, B> {
    /// Writes to both.
    pub fn new(first: A, second: B) -> Self {
        Self {
            first: Branch::new(first),
            second: Branch::new(second),
        }
    }

    /// Why the first sink has failed, if it has.
    pub fn first_error(&self) -> Option<&io::Error> {
        self.first.error.as_ref()
    }

    /// Why the second sink has failed, if it has.
    pub fn second_error(&self) -> Option<&io::Error> {
        self.second.error.as_ref()
    }

    /// The two sinks.
    pub fn into_inner(self) -> (A, B) {
        (self.first.sink, self.second.sink)
    }
}

impl<S: OutputSink> Branch<S> {
    fn new(sink: S) -> Self {
        Self {
            sink,
            error: None,
            writing: false,
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        if std::mem::replace(&mut self.writing, true) {
            self.error.get_or_insert_with(|| {
                io::Error::new(io::ErrorKind::TimedOut, "a write to it was given up")
            });
        }
        if self.error.is_none() {
            self.error = self.sink.write(bytes).await.err();
        }
        self.writing = false;
    }
}

#[async_trait]
impl<A: OutputSink, B: OutputSink> OutputSink for Tee<A, B> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::join!(self.first.write(bytes), self.second.write(bytes));
        match (&self.first.error, &self.second.error) {
            (Some(first), Some(_)) => Err(io::Error::new(first.kind(), first.to_string())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Fails from this write on, or takes so long for each.
    struct Bad {
        writes: usize,
        takes: Duration,
        output: Vec<u8>,
    }

    impl Bad {
        fn new(writes: usize, takes: Duration) -> Self {
            Self {
                writes,
                takes,
                output: Vec::new(),
            }
        }
    }

    #[async_trait]
    impl OutputSink for Bad {
        async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            tokio::time::sleep(self.takes).await;
            if self.writes == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.writes -= 1;
            self.output.extend_from_slice(bytes);
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_that_fails_does_not_keep_the_other_from_its_output() {
        let mut tee = Tee::new(Bad::new(1, Duration::ZERO), Vec::new());
        for piece in [b"a", b"b", b"c"] {
            tee.write(piece).await.unwrap();
        }
        assert_eq!(tee.first_error().unwrap().kind(), io::ErrorKind::BrokenPipe);
        assert!(tee.second_error().is_none());
        let (first, second) = tee.into_inner();
        assert_eq!((first.output, second), (b"a".to_vec(), b"abc".to_vec()));
    }

    #[tokio::test]
    async fn when_both_have_failed_the_output_is_lost() {
        let mut tee = Tee::new(Bad::new(1, Duration::ZERO), Bad::new(2, Duration::ZERO));
        tee.write(b"a").await.unwrap();
        tee.write(b"b").await.unwrap();
        let error = tee.write(b"c").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_keeps_nothing_from_the_other() {
        let mut tee = Tee::new(Bad::new(9, Duration::from_hours(1)), Vec::new());
        let write = tokio::time::timeout(Duration::from_secs(1), tee.write(b"a"));
        assert!(write.await.is_err(), "a slow one slows the script");
        tee.write(b"b").await.unwrap();
        // Of a write that was given up nobody knows how much arrived.
        assert_eq!(tee.first_error().unwrap().kind(), io::ErrorKind::TimedOut);
        assert_eq!(tee.into_inner().1, b"ab");
    }
}
