//! The file of a bundle that is run.

use trace_contracts::wire::worker::Language;

use crate::{BundlePath, Error, Machines, executable};

/// The file that is run, as far as it was seen.
pub(crate) struct MainFile {
    language: Language,
    /// The beginning of its content, once it was seen.
    head: Option<Vec<u8>>,
}

impl MainFile {
    pub(crate) const fn of(language: Language) -> Self {
        Self { language, head: None }
    }

    const fn name(&self) -> &'static str {
        match self.language {
            Language::Python => "main.py",
            Language::Rust => "main",
        }
    }

    /// Whether this file is it; its content comes then.
    pub(crate) fn begins(&mut self, path: &BundlePath) -> bool {
        let is_it = path.as_str() == self.name();
        if is_it {
            self.head = Some(Vec::new());
        }
        is_it
    }

    pub(crate) fn content(&mut self, bytes: &[u8]) {
        if let Some(head) = &mut self.head {
            let wanted = executable::HEAD_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(wanted)]);
        }
    }

    /// Fails where nothing was seen that could run.
    pub(crate) fn check(&self, machines: Machines) -> Result<(), Error> {
        let head = self.head.as_ref().ok_or(Error::NoMain(self.name()))?;
        match self.language {
            Language::Python => Ok(()),
            Language::Rust => Ok(executable::check_head(head, machines)?),
        }
    }
}
