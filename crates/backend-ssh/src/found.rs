//! What is found on a machine, from what it says. Pure.

use backend_core::{Found, FoundState, Marks};

use crate::reply::Line;

/// The instances that a machine lists; what has no marks that can be read is
/// not surely ours, and is left out.
pub(crate) fn read(address: &str, lines: Vec<Line>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = None;
    for line in lines {
        match line {
            Line::Slot { running, slot } => at = Some((running, slot)),
            Line::Marks(text) => {
                if let Some((running, slot)) = at.take()
                    && let Ok(marks) = serde_json::from_str::<Marks>(&text)
                {
                    let state = if running {
                        FoundState::Running
                    } else {
                        FoundState::Stopped
                    };
                    found.push(Found::new(marks, state, format!("{address}:{slot}")));
                }
            }
            _ => {}
        }
    }
    found
}

/// The path of the slot in a location on this machine.
pub(crate) fn slot<'a>(address: &str, location: &'a str) -> Option<&'a str> {
    let slot = location.strip_prefix(address)?.strip_prefix(':')?;
    slot.starts_with('/').then_some(slot)
}

#[cfg(test)]
mod tests {
    use backend_core::StartContext;

    use super::*;

    #[test]
    fn only_what_has_marks_is_found() {
        let marks = StartContext::new().marks();
        let text = serde_json::to_string(&marks).unwrap();
        let slot_line = |slot: &str| Line::Slot {
            running: true,
            slot: slot.into(),
        };
        let found = read(
            "u@h:22",
            vec![
                slot_line("/b/slot-1"),
                Line::Marks("garbage".into()),
                slot_line("/b/slot-2"),
                Line::Marks(text),
                Line::Marks("{}".into()),
            ],
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].marks, marks);
        assert_eq!(slot("u@h:22", &found[0].location), Some("/b/slot-2"));
        assert_eq!(slot("u@h:2", &found[0].location), None);
        assert_eq!(slot("u@g:22", &found[0].location), None);
    }
}
