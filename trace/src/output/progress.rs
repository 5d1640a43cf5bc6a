//! Progress on standard error: redrawn in place on a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Mutex,
};

/// The narrowest terminal that one meets.
const MAX_COLUMNS: usize = 79;

/// Where progress goes. Dropping it leaves the last state on the screen.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    /// Lines on the screen that the next drawing replaces.
    drawn: Mutex<usize>,
}

impl Progress {
    /// Progress on standard error.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self { terminal: io::stderr().is_terminal(), drawn: Mutex::new(0) }
    }

    /// Whether lines are redrawn. Where they aren't, only news should be told.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.terminal
    }

    /// Replaces what was drawn last; nothing happens where progress isn't live.
    pub fn draw(&self, lines: &[String]) {
        if self.terminal {
            let mut drawn = self.lock();
            emit(&format!("{}{}", erase(*drawn), joined(lines)));
            *drawn = lines.len();
        }
    }

    /// Tells something that stays on the screen, above what is drawn from now on.
    pub fn tell(&self, line: &str) {
        let mut drawn = self.lock();
        emit(&format!("{}{line}\n", erase(*drawn)));
        *drawn = 0;
    }

    /// Removes what was drawn last.
    pub fn clear(&self) {
        let mut drawn = self.lock();
        emit(&erase(*drawn));
        *drawn = 0;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.drawn.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Moves up over `lines` and clears to the end of the screen.
fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r\x1b[J") }
}

/// One line of the screen for each: a longer one would wrap, and be erased only in part.
fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| line.chars().take(MAX_COLUMNS).chain(['\n']).collect::<String>()).collect()
}

/// Progress that can't be shown is not worth failing for.
fn emit(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrawn_line_never_wraps() {
        let drawn = joined(&["ä".repeat(200), "short".to_owned()]);
        let widths: Vec<usize> = drawn.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [MAX_COLUMNS, 5]);
        assert_eq!(erase(2), "\x1b[2A\r\x1b[J");
        assert_eq!(erase(0), "");
    }
}
