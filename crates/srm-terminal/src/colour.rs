//! Decide whether a stream gets colours, by the conventions that programs share.

use std::env;

use clap::{ColorChoice, Parser};

/// Read the command line, or print help or what is wrong with it, in colour as the environment wants it, and end the program.
pub fn parse<P: Parser>() -> P {
    let colours = match by_environment() {
        Some(true) => ColorChoice::Always,
        Some(false) => ColorChoice::Never,
        None => ColorChoice::Auto,
    };
    let matches = P::command().color(colours).get_matches();
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Whether a stream gets colours, `terminal` being whether it is one: the environment decides, else the terminal.
pub fn colours(terminal: bool) -> bool {
    by_environment().unwrap_or(terminal)
}

/// What the environment says of colours on every stream, the first of these that is set: NO_COLOR (not empty: none), FORCE_COLOR
/// and CLICOLOR_FORCE (colours, 0: FORCE_COLOR none), CLICOLOR=0 and TERM=dumb (none). `None`: nothing.
fn by_environment() -> Option<bool> {
    decide(&|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
}

fn decide(variable: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return Some(false);
    }
    if let Some(forced) = set("FORCE_COLOR") {
        return Some(forced != "0" && forced != "false");
    }
    if set("CLICOLOR_FORCE").is_some_and(|forced| forced != "0") {
        return Some(true);
    }
    (set("CLICOLOR").is_some_and(|colour| colour == "0") || set("TERM").is_some_and(|term| term == "dumb"))
        .then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_convention_that_is_set_decides() {
        let said = |set: &[(&str, &str)]| {
            decide(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[("TERM", "xterm-256color"), ("CLICOLOR", "1")]), None);
        for (set, colours) in [
            (&[("NO_COLOR", "1"), ("FORCE_COLOR", "1")][..], Some(false)),
            (&[("NO_COLOR", ""), ("FORCE_COLOR", "1")], Some(true)),
            (&[("FORCE_COLOR", "0"), ("CLICOLOR_FORCE", "1")], Some(false)),
            (&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], Some(true)),
            (&[("CLICOLOR_FORCE", "0"), ("CLICOLOR", "1")], None),
            (&[("CLICOLOR", "0")], Some(false)),
            (&[("TERM", "dumb")], Some(false)),
        ] {
            assert_eq!(said(set), colours, "{set:?}");
        }
    }
}
