//! Reports as JUnit XML.

use super::{Report, Status};

impl Report {
    /// The report as a JUnit XML document, as CI systems read it.
    pub fn to_junit(&self) -> String {
        let tally = self.tally();
        let seconds: f64 = self.results.iter().map(|r| r.duration.as_secs_f64()).sum();
        let target = escape(&self.target);
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"{target}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{seconds:.3}\">\n",
            tally.cases,
            tally.failed,
            tally.skipped.values().sum::<usize>(),
        );
        for result in &self.results {
            let open = format!(
                "  <testcase classname=\"{target}\" name=\"{}\" time=\"{:.3}\"",
                escape(&result.id),
                result.duration.as_secs_f64()
            );
            let rest = match &result.status {
                Status::Passed => "/>".to_owned(),
                Status::Failed(reason) => format!(
                    ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>",
                    escape(&result.title),
                    escape(reason)
                ),
                Status::Skipped(reason) => format!(
                    ">\n    <skipped message=\"{}\"/>\n  </testcase>",
                    escape(reason)
                ),
            };
            xml.push_str(&open);
            xml.push_str(&rest);
            xml.push('\n');
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

/// `text` for an attribute or an element. What XML 1.0 cannot hold at all
/// (control characters) becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                // As they are, an attribute would turn them into blanks.
                escaped.push_str("&#");
                escaped.push_str(&u32::from(character).to_string());
                escaped.push(';');
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testkit::report::tests::example;

    #[test]
    fn a_report_is_one_suite() {
        let xml = example().to_junit();
        assert!(xml.contains(
            "<testsuite name=\"local\" tests=\"5\" failures=\"1\" errors=\"0\" skipped=\"3\" time=\"7.500\">"
        ));
        assert!(xml.contains("<testcase classname=\"local\" name=\"E1-a\" time=\"1.500\"/>"));
        assert!(xml.contains("<skipped message=\"memory-limit\"/>"));
        assert!(xml.contains(">exit &lt;1&gt; &amp; &quot;\u{fffd}&quot; is not 0</failure>"));
    }

    proptest! {
        #[test]
        fn nothing_escapes_the_escaping(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"']));
            prop_assert!(!escaped.chars().any(|c| c < ' '));
            let mut rest = escaped.as_str();
            while let Some((_, after)) = rest.split_once('&') {
                let (entity, after) = after.split_once(';').unwrap();
                prop_assert!(["amp", "lt", "gt", "quot", "#9", "#10", "#13"].contains(&entity));
                rest = after;
            }
        }
    }
}
