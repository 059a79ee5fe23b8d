//! The masker against a table of cases, and against a model that is slow and
//! obviously right, at every border between two writes.

use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Secrets, forms};
use crate::fuzzing::masked as model;

/// One row of the table.
#[derive(Deserialize)]
struct Row {
    name: String,
    secrets: Vec<String>,
    input: String,
    output: String,
}

fn secrets<V: AsRef<[u8]>>(values: &[V]) -> Secrets {
    let secrets = Secrets::new();
    secrets
        .add(values.iter().map(|value| ("S", value.as_ref())))
        .unwrap();
    secrets
}

fn masked<'a>(secrets: &Secrets, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut masker = secrets.masker();
    let mut output = Vec::new();
    for chunk in chunks {
        output.extend_from_slice(&masker.push(chunk));
    }
    output.extend(masker.finish());
    output
}

/// Cuts `text` at these places, of which some may be the same or too far.
fn cut<'a>(text: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places
        .iter()
        .map(|place| place % (text.len() + 1))
        .collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

#[test]
fn every_row_of_the_table_holds_at_every_border() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../tests/data/masking.json")).unwrap();
    assert!(rows.len() >= 60, "{}", rows.len());
    for row in rows {
        let (secrets, text) = (secrets(&row.secrets), row.input.as_bytes());
        let check = |chunks: Vec<&[u8]>| {
            let output = masked(&secrets, chunks);
            assert_eq!(String::from_utf8_lossy(&output), row.output, "{}", row.name);
        };
        check(vec![text]);
        check(text.chunks(1).collect());
        for border in 0..text.len() {
            check(cut(text, &[border]));
        }
    }
}

#[test]
fn what_cannot_be_a_secret_passes_at_once() {
    let secrets = secrets(&[b"hunter22"]);
    let mut masker = secrets.masker();
    assert_eq!(&*masker.push(b"abc"), b"abc");
    assert_eq!(&*masker.push(b"xhunt"), b"x");
    assert_eq!(&*masker.push(b"s"), b"hunts");
    assert_eq!(&*masker.push(b"hunter2"), b"");
    assert_eq!(&*masker.push(b"2"), b"***");
    assert_eq!(masker.finish(), b"");
}

#[test]
fn a_secret_of_16_kb_is_found_byte_by_byte() {
    let long: Vec<u8> = (0..16_384_u32)
        .map(|n| b'a' + u8::try_from(n % 23).unwrap())
        .collect();
    let text = [b"<".as_slice(), &long, b">"].concat();
    let secrets = secrets(&[&long]);
    assert_eq!(masked(&secrets, text.chunks(1)), b"<***>");
    // All but the last byte of it is no secret, and is not lost either.
    let most = &text[..16_384];
    assert_eq!(masked(&secrets, most.chunks(7)), most);
}

#[test]
fn a_thousand_secrets_are_found_among_each_other() {
    let values: Vec<_> = (0..1000).map(|n| format!("secret-{n:04}-{n:04}")).collect();
    let text = values.join(",");
    let output = masked(&secrets(&values), text.as_bytes().chunks(13));
    assert_eq!(output, vec!["***"; 1000].join(",").as_bytes());
}

#[test]
fn a_secret_that_is_added_on_the_way_is_masked_from_then_on() {
    let secrets = secrets(&[b"hunter22"]);
    let mut masker = secrets.masker();
    assert_eq!(&*masker.push(b"later22 hunte"), b"later22 ");
    secrets.add([("L", b"later22".as_slice())]).unwrap();
    assert_eq!(&*masker.push(b"r22 lat"), b"*** ");
    assert_eq!(&*masker.push(b"er22 hunter22."), b"*** ***.");
    // One that is found in what was held back already.
    assert_eq!(&*masker.push(b"hunter2"), b"");
    secrets.add([("U", b"unter".as_slice())]).unwrap();
    assert_eq!(&*masker.push(b"!"), b"h***2!");
    assert_eq!(masker.finish(), b"");
}

#[test]
fn what_is_held_back_is_not_shown() {
    let secrets = secrets(&[b"hunter22"]);
    let mut masker = secrets.masker();
    masker.push(b"hunter2");
    let shown = format!("{masker:?} {secrets:?}");
    assert!(
        !shown.contains("104") && !shown.contains("hunter"),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn masking_is_what_the_model_says(
        patterns in proptest::collection::vec("[ab]{3,7}", 1..5),
        text in "[abc]{0,60}",
        places in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let patterns: Vec<_> = patterns.into_iter().map(String::into_bytes).collect();
        let secrets = Secrets::of_patterns(patterns.iter().cloned().collect());
        let chunks = cut(text.as_bytes(), &places);
        prop_assert_eq!(masked(&secrets, chunks), model(&patterns, text.as_bytes()));
    }

    #[test]
    fn any_bytes_are_masked_as_the_model_says(
        patterns in proptest::collection::vec(proptest::collection::vec(0_u8..4, 3..9), 1..6),
        text in proptest::collection::vec(0_u8..5, 0..200),
        places in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let secrets = Secrets::of_patterns(patterns.iter().cloned().collect());
        prop_assert_eq!(masked(&secrets, cut(&text, &places)), model(&patterns, &text));
    }

    #[test]
    fn all_forms_of_secrets_are_masked_as_the_model_says(
        values in proptest::collection::vec("[a-c/+ \\\\\"é\n]{4,12}", 1..4),
        before in "[a-c]{0,8}",
        places in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let patterns: Vec<Vec<u8>> = values.iter().flat_map(|v| forms::of(v.as_bytes())).collect();
        let mut text = before.into_bytes();
        for pattern in &patterns {
            text.extend_from_slice(pattern);
            text.push(b'|');
        }
        let output = masked(&secrets(&values), cut(&text, &places));
        prop_assert_eq!(output, model(&patterns, &text));
    }

    #[test]
    fn no_secret_survives_that_begins_after_it_was_added(
        old in "[ab]{4,6}",
        new in "[ab]{4,6}",
        head in "[ab]{0,20}",
        tail in "[ab]{0,40}",
        places in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let secrets = Secrets::of_patterns([old.clone().into_bytes()].into());
        let mut masker = secrets.masker();
        let mut output = masker.push(head.as_bytes()).into_owned();
        let passed = output.len();
        secrets.set_patterns([old.into_bytes(), new.clone().into_bytes()].into());
        for chunk in cut(tail.as_bytes(), &places) {
            output.extend_from_slice(&masker.push(chunk));
        }
        output.extend(masker.finish());
        let after = String::from_utf8_lossy(&output[passed..]);
        prop_assert!(!after.contains(&new), "{new:?} is in {after:?}");
    }
}

/// Cheap to clone, as every job and every event does.
#[test]
fn secrets_are_shared_by_their_clones() {
    let secrets = secrets(&[b"hunter22"]);
    let (_, one) = secrets.clone().automaton();
    let (_, other) = secrets.automaton();
    assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
}
