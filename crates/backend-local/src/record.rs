//! The file that says whose an instance is, and what belongs to it outside of
//! its directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use backend_core::Marks;
use serde::{Deserialize, Serialize};

use crate::group::Group;
use crate::layout::Layout;

/// What `marks.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) marks: Marks,
    pub(crate) cgroups: Vec<Group>,
}

impl Record {
    /// Writes it, by rename: a reader never sees half of it.
    pub(crate) fn write(&self, layout: &Layout) -> io::Result<()> {
        let aside = Self::unfinished(layout);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(aside, layout.marks())
    }

    /// Where it is until it is written in full.
    pub(crate) fn unfinished(layout: &Layout) -> PathBuf {
        layout.root().join("marks.new")
    }

    /// Reads it; `None` if it is not there or makes no sense: what is not
    /// surely ours is never touched.
    pub(crate) fn read(layout: &Layout) -> Option<Self> {
        /// More than any record; a file that a script has blown up is cut.
        const MOST: u64 = 64 << 10;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(layout.marks())
            .ok()?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let id = &record.marks.instance;
        let ours = layout.root().file_name()? == id.as_str()
            && record.cgroups.iter().all(|group| group.belongs_to(id));
        ours.then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use backend_core::StartContext;

    use super::*;
    use crate::base;

    #[test]
    fn only_a_whole_record_of_the_right_place_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let context = StartContext::new().job("j");
        let layout = Layout::new(directory.path(), &context.id);
        base::make(layout.root()).unwrap();
        assert_eq!(Record::read(&layout), None);
        let record = Record {
            marks: context.marks(),
            cgroups: Vec::new(),
        };
        record.write(&layout).unwrap();
        assert_eq!(Record::read(&layout), Some(record));

        let other = Layout::new(directory.path(), &"other".parse().unwrap());
        fs::rename(layout.root(), other.root()).unwrap();
        assert_eq!(Record::read(&other), None, "the marks of another instance");
        fs::write(other.marks(), "{").unwrap();
        assert_eq!(Record::read(&other), None);
    }
}
