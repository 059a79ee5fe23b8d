//! What the gate is told to run, as text for a shell: pure.

use backend_core::interpreter::Interpreter;
use backend_core::{Environment, InstanceId};

use crate::gate::FILES;

/// The file that the gate reads in front of the script: it exports the
/// variables, and sets `$@` to the program to run.
pub(crate) fn environment_file(
    id: &InstanceId,
    environment: &Environment,
    setsid: Option<&str>,
    interpreter: &Interpreter,
) -> Vec<u8> {
    let mut file = format!("export WORKER_INSTANCE_ID='{id}'\n").into_bytes();
    file.extend(environment.to_shell().into_bytes());
    file.extend(b"set --");
    if let Some(setsid) = setsid {
        push_word(&mut file, setsid.as_bytes());
    }
    if interpreter.path.contains(&b'/') {
        push_word(&mut file, &interpreter.path);
    } else {
        // As the kernel has it: in the current directory, not on a path.
        push_word(&mut file, &[b"./", interpreter.path.as_slice()].concat());
    }
    if let Some(argument) = &interpreter.argument {
        push_word(&mut file, argument);
    }
    push_word(&mut file, format!("{FILES}/script").as_bytes());
    file.push(b'\n');
    file
}

/// Adds any bytes as one word, in which nothing is expanded.
fn push_word(file: &mut Vec<u8>, word: &[u8]) {
    file.extend(b" '");
    for byte in word {
        match byte {
            b'\'' => file.extend(br"'\''"),
            other => file.push(*other),
        }
    }
    file.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_back_the_program(
            path in proptest::collection::vec(1_u8..=255, 1..20),
            argument in proptest::option::of(proptest::collection::vec(1_u8..=255, 1..20)),
        ) {
            use std::os::unix::ffi::OsStrExt as _;
            let interpreter = Interpreter { path, argument };
            let id = "w-1".parse().unwrap();
            let mut text = environment_file(&id, &Environment::new(), None, &interpreter);
            text.extend(b"printf '%s\\0' \"$@\"");
            let output = Command::new("/bin/sh")
                .arg("-c")
                .arg(std::ffi::OsStr::from_bytes(&text))
                .output()
                .unwrap();
            let mut expected = Vec::new();
            if !interpreter.path.contains(&b'/') {
                expected.extend(b"./");
            }
            expected.extend(&interpreter.path);
            expected.push(0);
            if let Some(argument) = &interpreter.argument {
                expected.extend(argument);
                expected.push(0);
            }
            expected.extend(b"/.worker/script\0");
            prop_assert_eq!(output.stdout, expected);
        }
    }
}
