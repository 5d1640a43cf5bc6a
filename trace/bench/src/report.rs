//! What a benchmark prints.

use std::io::{Write as _, stdout};

use serde::Serialize;

/// How figures are printed.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// One JSON line, for programs.
    Line,
    /// The same over several lines, for people.
    Pretty,
}

/// The figures of a benchmark, with its name before them.
#[derive(Serialize)]
struct Named<'a, T> {
    bench: &'static str,
    #[serde(flatten)]
    figures: &'a T,
}

impl Form {
    /// Prints `figures`, a struct or a map, on standard output.
    pub fn print(self, bench: &'static str, figures: &impl Serialize) -> anyhow::Result<()> {
        Ok(writeln!(stdout().lock(), "{}", self.write(bench, figures)?)?)
    }

    fn write(self, bench: &'static str, figures: &impl Serialize) -> serde_json::Result<String> {
        let named = Named { bench, figures };
        match self {
            Self::Line => serde_json::to_string(&named),
            Self::Pretty => serde_json::to_string_pretty(&named),
        }
    }
}

/// Processes that wanted to run over the last minute: on a shared machine, how much of it was left.
pub fn load_average() -> Option<f64> {
    let loads = std::fs::read_to_string("/proc/loadavg").ok()?;
    loads.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_first_and_all_of_it_is_one_line() {
        #[derive(Serialize)]
        struct Figures {
            tasks_per_s: f64,
        }
        let line = Form::Line.write("dispatch", &Figures { tasks_per_s: 1.5 }).unwrap();
        assert_eq!(line, r#"{"bench":"dispatch","tasks_per_s":1.5}"#);
    }
}
