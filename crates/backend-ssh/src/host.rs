//! Machines, as they are written in the option `hosts`.

use std::fmt;

use backend_core::{Kind, OptionValue};

use crate::options::Slots;

/// One machine: an address, or the name of an entry of the `ssh-config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    pub(crate) user: Option<String>,
    /// A name, an address (without brackets), or an alias.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) slots: Option<u32>,
    pub(crate) weight: u32,
}

impl fmt::Display for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.port, self.host.contains(':')) {
            (None, _) => f.write_str(&self.host),
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
        }
    }
}

impl OptionValue for HostSpec {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, String> {
        let (address, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (user, place) = match address.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, address),
        };
        let (host, port) = host_and_port(place)?;
        let fits = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if !fits(host) {
            return Err("there is no host in it: `user@host:port`".into());
        }
        if user.is_some_and(|user| !fits(user)) {
            return Err("the user before `@` is empty or no name".into());
        }
        let mut spec = Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            slots: None,
            weight: 1,
        };
        for parameter in parameters
            .split('&')
            .filter(|parameter| !parameter.is_empty())
        {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let number = Slots::parse(value).map(|slots| slots.0);
            let number =
                number.map_err(|_| format!("`{key}` takes a number from 1 to 1024, not `{value}`"));
            match key {
                "slots" => spec.slots = Some(number?),
                "weight" => spec.weight = number?,
                _ => return Err(format!("`{key}` is not `slots` or `weight`")),
            }
        }
        Ok(spec)
    }
}

/// `host`, `host:port`, `[address]:port`, or a bare address of version 6.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!("`{text}` is not a port")),
    };
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the `[` is not closed")?;
        // One colon would part a name from a port.
        if host.contains('[') || host.matches(':').count() == 1 {
            return Err("what is in `[` and `]` is not an address".into());
        }
        return match rest.strip_prefix(':') {
            Some(text) => Ok((host, port(text)?)),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("only a port can follow `]`".into()),
        };
    }
    match place.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((place, None)),
        Some((host, text)) => Ok((host, port(text)?)),
        None => Ok((place, None)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_usually_written() {
        for (text, user, host, port) in [
            ("h", None, "h", None),
            ("u@h", Some("u"), "h", None),
            ("u@h:22", Some("u"), "h", Some(22)),
            ("a@b@h", Some("a@b"), "h", None),
            ("[::1]:2222", None, "::1", Some(2222)),
            ("[::1]", None, "::1", None),
            ("fe80::1", None, "fe80::1", None),
        ] {
            let spec = HostSpec::parse(text).unwrap();
            assert_eq!(
                (spec.user.as_deref(), spec.host.as_str(), spec.port),
                (user, host, port),
                "{text}"
            );
        }
        let spec = HostSpec::parse("h?slots=2&weight=3").unwrap();
        assert_eq!((spec.slots, spec.weight), (Some(2), 3));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "u@",
            "@h",
            "h:0",
            "h:x",
            "h:70000",
            "[::1",
            "[::1]x",
            "[h:22]",
            "[[::1]",
            "-oProxyCommand=x",
            "h?slots=0",
            "h?sltos=1",
            "a b",
        ] {
            assert!(HostSpec::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(spec) = HostSpec::parse(&text) {
                let again = HostSpec::parse(&spec.to_string()).unwrap();
                prop_assert_eq!((again.user, again.host, again.port), (spec.user, spec.host, spec.port));
            }
        }
    }
}
