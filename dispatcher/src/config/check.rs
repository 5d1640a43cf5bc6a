//! What a configuration can't say although each of its fields is right.

use trace_plane::{listener, outgoing};

use super::{Config, Jwks, Listen, database};
use crate::credentials::Source;

impl Config {
    /// What this file can't say, if anything. Files that it names are not opened.
    pub(super) fn wrong(&self) -> Option<String> {
        let sessions = match &self.credentials {
            Source::Sts(sts) => sts.wrong(),
            Source::None => None,
        };
        let database = database::options(&self.database_url, self.unverified_database);
        sessions
            .or_else(|| database.err().map(|error| error.to_string()))
            .or_else(|| self.check_listeners().err().map(|error| format!("`listen`: {error}")))
            .or_else(|| self.check_addresses().err().map(|error| error.to_string()))
    }

    fn check_listeners(&self) -> Result<(), listener::Error> {
        let Listen { users, tasks, workers } = self.listen;
        [users, tasks, workers].into_iter().try_for_each(|address| self.transport.admit(address))
    }

    fn check_addresses(&self) -> Result<(), outgoing::Refused> {
        if let Jwks::Url(keys) = &self.users.jwks {
            self.plain_http.admit("users.jwks", keys)?;
        }
        let store = self.object_store.endpoint.as_ref();
        store.map_or(Ok(()), |store| self.plain_http.admit("object_store.endpoint", store))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, tests::YAML};

    #[test]
    fn what_carries_keys_or_data_is_not_called_without_tls() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dispatcher.yaml");
        let read = |text: &str| {
            std::fs::write(&path, text.replace("@db/", "@127.0.0.1/")).unwrap();
            Config::read(&path).map_err(|error| error.to_string())
        };
        assert!(read(YAML).is_ok());
        let keys = YAML.replace("https://id.example/jwks.json", "http://id.example/jwks.json");
        assert!(read(&keys).unwrap_err().contains("`users.jwks`"));
        let store = YAML.replace("region: us-east-1", "region: us-east-1, endpoint: 'http://10.0.0.7/'");
        assert!(read(&store).unwrap_err().contains("`object_store.endpoint`"));
        assert!(read(&format!("{store}plain_http: allow\n")).is_ok());
        let open = YAML.replace("127.0.0.1:8082", "0.0.0.0:8082");
        assert!(read(&open).unwrap_err().contains("`transport: plain`"));
    }
}
