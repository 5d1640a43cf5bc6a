//! What a configuration can't say although each of its fields is right.

use trace_plane::{listener, outgoing};

use super::Config;

/// What a configuration can't say.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// The health listener would be open to others without TLS.
    #[error("`health`: {0}")]
    Health(#[from] listener::Error),
    /// A service would be called without TLS.
    #[error(transparent)]
    Address(#[from] outgoing::Refused),
}

impl Config {
    /// Whether the wrapper would start with it, as far as it tells by itself: the files that it names are not opened.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Wrong> {
        if let Some(health) = self.health {
            self.transport.admit(health)?;
        }
        Ok(self.check_addresses()?)
    }

    /// Whether tokens and data go to each service by TLS, or on this machine, or somebody said that they need not.
    ///
    /// # Errors
    /// The address that would be called without TLS.
    pub fn check_addresses(&self) -> Result<(), outgoing::Refused> {
        self.plain_http.admit("dispatcher", &self.dispatcher)?;
        self.plain_http.admit("task_api", &self.task_api)?;
        self.plain_http.admit("query", &self.query)?;
        self.plain_http.admit("object_store.endpoint", &self.object_store.endpoint)?;
        self.egress.as_ref().map_or(Ok(()), |gateway| self.plain_http.admit("egress", gateway))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{FILE, parse};

    #[test]
    fn what_carries_tokens_or_data_is_not_called_without_tls() {
        let egress = |scheme: &str, rest: &str| {
            let text = FILE.replacen('{', &format!(r#"{{"egress": "{scheme}://gateway:3128",{rest}"#), 1);
            parse(&text, Some("x")).unwrap().check()
        };
        assert!(egress("https", "").is_ok());
        assert!(egress("http", "").unwrap_err().to_string().contains("`egress`"));
        assert!(egress("http", r#""plain_http": "allow","#).is_ok());
        for (setting, here) in [
            ("dispatcher", "http://127.0.0.1:7002/"),
            ("task_api", "http://127.0.0.1:7001/"),
            ("query", "http://127.0.0.1:7003/"),
            ("object_store.endpoint", "http://127.0.0.1:7004/"),
        ] {
            let away = parse(&FILE.replace(here, "http://10.0.0.1/"), Some("x")).unwrap();
            let refused = away.check().unwrap_err().to_string();
            assert!(refused.contains(&format!("`{setting}`")) && refused.contains("plain_http"), "{refused}");
        }
        let open = FILE.replacen('{', r#"{"health": "0.0.0.0:7020","#, 1);
        assert!(parse(&open, Some("x")).unwrap().check().unwrap_err().to_string().contains("`health`"));
    }
}
