//! Files of environment variables.

use backend_core::Environment;

/// Adds the variables of `text` to `environment`: a `KEY=VALUE` each line, all
/// behind the first `=` taken literally; empty lines and lines that begin with
/// `#` are comments, and a carriage return before the line's end is dropped.
///
/// The error names the line, never a value.
pub(crate) fn read(text: &str, environment: &mut Environment) -> Result<(), String> {
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("line {number}: expected KEY=VALUE"));
        };
        environment
            .set(name, value)
            .map_err(|error| format!("line {number}: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_taken_literally() {
        let mut environment = Environment::new();
        read("# c\n\nA=1 = 2 \r\nB='x'\nC=\nA=3\n", &mut environment).unwrap();
        let pairs: Vec<_> = environment.iter().collect();
        assert_eq!(pairs, [("A", "3"), ("B", "'x'"), ("C", "")]);
    }

    #[test]
    fn the_line_is_named_and_the_value_is_not() {
        let mut environment = Environment::new();
        assert_eq!(
            read("A=1\nB", &mut environment),
            Err("line 2: expected KEY=VALUE".into())
        );
        let error = read("9A=hunter2", &mut environment).unwrap_err();
        assert!(
            error.starts_with("line 1: ") && !error.contains("hunter2"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = read(&text, &mut Environment::new());
        }
    }
}
