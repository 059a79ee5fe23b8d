//! The client configuration of OpenSSH, as far as it is about what this
//! backend does. Source: `ssh_config(5)`.
//!
//! A directive that changes security and is not supported here is an error;
//! one that changes only what this backend never does is passed over.

use std::path::{Path, PathBuf};
use std::time::Duration;

mod words;

use crate::error::Failure;
use crate::pattern;
use words::{HARMLESS, REFUSED};

/// What the configuration says about one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) host_name: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) identity_files: Vec<String>,
    pub(crate) identities_only: Option<bool>,
    pub(crate) identity_agent: Option<String>,
    pub(crate) proxy_jump: Option<String>,
    pub(crate) user_known_hosts: Option<Vec<String>>,
    pub(crate) global_known_hosts: Option<Vec<String>>,
    pub(crate) host_key_alias: Option<String>,
    pub(crate) strict_host_key_checking: Option<String>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) alive_interval: Option<Duration>,
    pub(crate) alive_count: Option<u32>,
    ignored: Vec<String>,
}

/// Where included files come from: all that a pattern names, in order.
pub(crate) trait Includes {
    /// The files that `pattern` names, with their texts.
    fn load(&mut self, pattern: &str) -> Result<Vec<(PathBuf, String)>, Failure>;
}

/// How deep files may include each other, as for OpenSSH.
const DEPTH: usize = 16;

/// Takes from a file what it says about `host` (with `user`, if one was
/// given), where nothing was said before: the first value holds.
pub(crate) fn apply(
    settings: &mut Settings,
    host: &str,
    file: (&Path, &str),
    includes: &mut dyn Includes,
) -> Result<(), Failure> {
    let mut reader = Reader {
        settings,
        host,
        includes,
    };
    reader.read(file, true, 0)
}

struct Reader<'a> {
    settings: &'a mut Settings,
    host: &'a str,
    includes: &'a mut dyn Includes,
}

impl Reader<'_> {
    fn read(
        &mut self,
        (path, text): (&Path, &str),
        active: bool,
        depth: usize,
    ) -> Result<(), Failure> {
        let outer = active;
        let mut active = active;
        for (index, line) in text.lines().enumerate() {
            let wrong = |text: String| Failure::Config {
                path: path.to_owned(),
                line: index + 1,
                text,
            };
            let Some((keyword, arguments)) = split(line).map_err(wrong)? else {
                continue;
            };
            let Some(first) = arguments.first() else {
                return Err(wrong(format!("`{keyword}` has no value")));
            };
            match keyword.as_str() {
                "host" => {
                    let patterns = arguments.iter().map(String::as_str);
                    active = outer && pattern::matches_all(patterns, self.host);
                }
                "match" => active = outer && self.condition(&arguments).map_err(wrong)?,
                // Nothing in a block for other machines counts.
                _ if !active => {}
                "include" => {
                    if depth == DEPTH {
                        return Err(wrong("too many files include each other".into()));
                    }
                    for pattern in &arguments {
                        for (path, text) in self.includes.load(pattern)? {
                            self.read((&path, &text), true, depth + 1)?;
                        }
                    }
                }
                keyword => self.directive(keyword, first, &arguments).map_err(wrong)?,
            }
        }
        Ok(())
    }

    fn condition(&self, arguments: &[String]) -> Result<bool, String> {
        let name = self.settings.host_name.as_deref().unwrap_or(self.host);
        let mut words = arguments.iter();
        let mut all = true;
        while let Some(word) = words.next() {
            let (word, inverted) = match word.strip_prefix('!') {
                Some(word) => (word, true),
                None => (word.as_str(), false),
            };
            let mut list = || {
                words
                    .next()
                    .ok_or_else(|| format!("`Match {word}` has no pattern"))
            };
            let fits = match word.to_ascii_lowercase().as_str() {
                "all" => true,
                "host" => pattern::list_matches(list()?, name),
                "originalhost" => pattern::list_matches(list()?, self.host),
                _ => {
                    return Err(format!(
                        "`Match {word}` is not supported: only `all`, `host` and `originalhost` are"
                    ));
                }
            };
            all &= fits != inverted;
        }
        Ok(all)
    }

    fn directive(
        &mut self,
        keyword: &str,
        first: &str,
        arguments: &[String],
    ) -> Result<(), String> {
        let settings = &mut *self.settings;
        let expected = |what: &str| format!("`{keyword} {first}`: expected {what}");
        let seconds = || seconds(first).ok_or_else(|| expected("a time such as `10` or `1m`"));
        match keyword {
            "hostname" => set(&mut settings.host_name, first.to_owned()),
            "user" => set(&mut settings.user, first.to_owned()),
            "port" => {
                let port = first.parse().ok().filter(|port| *port > 0);
                set(&mut settings.port, port.ok_or_else(|| expected("a port"))?);
            }
            "identityfile" => settings.identity_files.push(first.to_owned()),
            "identitiesonly" => {
                let flag = flag(first).ok_or_else(|| expected("`yes` or `no`"))?;
                set(&mut settings.identities_only, flag);
            }
            "identityagent" => set(&mut settings.identity_agent, first.to_owned()),
            "proxyjump" => set(&mut settings.proxy_jump, first.to_owned()),
            "userknownhostsfile" => set(&mut settings.user_known_hosts, arguments.to_vec()),
            "globalknownhostsfile" => set(&mut settings.global_known_hosts, arguments.to_vec()),
            "hostkeyalias" => set(&mut settings.host_key_alias, first.to_owned()),
            "stricthostkeychecking" => {
                let word = first.to_ascii_lowercase();
                if !["yes", "ask", "accept-new", "no", "off"].contains(&word.as_str()) {
                    return Err(expected("`yes`, `ask`, `accept-new` or `no`"));
                }
                set(&mut settings.strict_host_key_checking, word);
            }
            "connecttimeout" => {
                let limit = seconds()?;
                if !limit.is_zero() {
                    set(&mut settings.connect_timeout, limit);
                }
            }
            "serveraliveinterval" => set(&mut settings.alive_interval, seconds()?),
            "serveralivecountmax" => {
                let count = first.parse().map_err(|_| expected("a number"))?;
                set(&mut settings.alive_count, count);
            }
            "ignoreunknown" => settings.ignored.extend(first.split(',').map(str::to_owned)),
            _ if REFUSED.contains(&keyword) && first != "none" => {
                return Err(format!(
                    "`{keyword}` is not supported, and to pass over it would change what is trusted"
                ));
            }
            _ if REFUSED.contains(&keyword) || HARMLESS.contains(&keyword) => {}
            _ if settings
                .ignored
                .iter()
                .any(|list| pattern::list_matches(list, keyword)) => {}
            _ => return Err(format!("there is no directive `{keyword}`")),
        }
        Ok(())
    }
}

fn set<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

/// A time of `sshd_config(5)`: `90`, `1m30s`. `none` is no time at all. As for
/// OpenSSH, more seconds than an `int` holds are none.
fn seconds(text: &str) -> Option<Duration> {
    if text.eq_ignore_ascii_case("none") {
        return Some(Duration::ZERO);
    }
    let (mut total, mut digits) = (0_u64, String::new());
    for character in text.chars() {
        let factor = match character.to_ascii_lowercase() {
            digit if digit.is_ascii_digit() => {
                digits.push(digit);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 7 * 86400,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(factor)?)?;
        digits.clear();
    }
    if !digits.is_empty() {
        total = total.checked_add(digits.parse().ok()?)?;
    } else if text.is_empty() {
        return None;
    }
    i32::try_from(total).ok()?;
    Some(Duration::from_secs(total))
}

/// The keyword in lower case, and its arguments: separated by blanks or one
/// `=`, with double quotes around those that have blanks.
pub(crate) fn split(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line
        .find(|c: char| c.is_whitespace() || c == '=')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut quoted = false;
    for character in rest.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                current.get_or_insert_default();
            }
            '#' if !quoted && current.is_none() => break,
            blank if blank.is_whitespace() && !quoted => arguments.extend(current.take()),
            other => current.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed".into());
    }
    arguments.extend(current);
    Ok(Some((keyword.to_ascii_lowercase(), arguments)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Files(Vec<(&'static str, &'static str)>);

    impl Includes for Files {
        fn load(&mut self, pattern: &str) -> Result<Vec<(PathBuf, String)>, Failure> {
            let files = self
                .0
                .iter()
                .filter(|(path, _)| pattern::matches(pattern.as_bytes(), path.as_bytes()));
            Ok(files
                .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
                .collect())
        }
    }

    fn read(
        host: &str,
        text: &str,
        files: Vec<(&'static str, &'static str)>,
    ) -> Result<Settings, String> {
        let mut settings = Settings::default();
        apply(
            &mut settings,
            host,
            (Path::new("config"), text),
            &mut Files(files),
        )
        .map(|()| settings)
        .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_first_value_holds_and_files_add_up() {
        let text = "Port 2222\nHost a b*\n  User=first\n  IdentityFile \"~/one two\"\n\
            Host *\n User second # not a name\nIdentityFile ~/x\nPort 22\n";
        let settings = read("build", text, vec![]).unwrap();
        assert_eq!(settings.user.as_deref(), Some("first"));
        assert_eq!(settings.port, Some(2222));
        assert_eq!(settings.identity_files, ["~/one two", "~/x"]);
        assert_eq!(
            read("c", text, vec![]).unwrap().user.as_deref(),
            Some("second")
        );
    }

    #[test]
    fn included_files_count_where_they_are_included() {
        let text = "Host a\nInclude d/*\nPort 1\n";
        let files = vec![("d/1", "User x\nHost b\nPort 9\n"), ("d/2", "Port 7\n")];
        let settings = read("a", text, files.clone()).unwrap();
        assert_eq!(
            (settings.user.as_deref(), settings.port),
            (Some("x"), Some(7))
        );
        assert_eq!(read("b", text, files).unwrap(), Settings::default());
        let endless = vec![("self", "Include self\n")];
        assert!(
            read("a", "Include self\n", endless)
                .unwrap_err()
                .contains("include each other")
        );
    }

    #[test]
    fn conditions_are_held_or_refused() {
        let text = "HostName h.example\nMatch host *.example !originalhost b\nUser u\n";
        assert_eq!(read("a", text, vec![]).unwrap().user.as_deref(), Some("u"));
        assert_eq!(read("b", text, vec![]).unwrap().user, None);
        let refused = read("a", "Match exec \"true\"\n", vec![]).unwrap_err();
        assert!(refused.contains("Match exec"), "{refused}");
    }

    #[test]
    fn what_changes_security_is_not_passed_over() {
        for word in REFUSED {
            let text = format!("Host a\n{word} something\n");
            assert!(read("a", &text, vec![]).unwrap_err().contains(word));
            // For another machine it does not matter.
            assert!(read("b", &text, vec![]).is_ok());
        }
        assert!(read("a", "ProxyCommand none\n", vec![]).is_ok());
        assert!(read("a", "ForwardAgent yes\n", vec![]).is_ok());
        assert!(read("a", "Frobnicate yes\n", vec![]).is_err());
        assert!(read("a", "IgnoreUnknown Frob*\nFrobnicate yes\n", vec![]).is_ok());
        assert!(read("a", "Port x\n", vec![]).is_err());
        assert!(read("a", "User \"a\n", vec![]).is_err());
    }

    #[test]
    fn times_are_those_of_openssh() {
        for (text, expected) in [
            ("90", Some(90)),
            ("1m30s", Some(90)),
            ("2h", Some(7200)),
            ("none", Some(0)),
            ("x", None),
            ("", None),
            ("1x", None),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(seconds(text), expected.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([a-zA-Z]{0,8}[ =\"#a-z*!0-9]{0,20}\n){0,6}") {
            let _ = read("a", &text, vec![]);
        }
    }
}
