//! The address of PostgreSQL: one URL that may list several hosts, as libpq reads it.
//!
//! Invariant: the displayed form of a URL holds no password and no parameters. This module opens nothing; the
//! URL of each single host is checked by its reader.

/// The only parameter that is read here. kabar always behaves as its accepted values request.
const SESSION_ATTRIBUTES: &str = "target_session_attrs";

/// The parts of `postgres://<user>:<password>@<host>:<port>,<host>:<port>/<database>?<parameters>`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PostgresUrl<'u> {
    scheme: &'u str,
    user_info: Option<&'u str>,
    hosts: &'u str,
    path: &'u str,
    query: Option<&'u str>,
}

impl<'u> PostgresUrl<'u> {
    /// Parses a URL.
    ///
    /// # Errors
    /// A reason, without any part of the address.
    pub(crate) fn parse(text: &'u str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("must begin with postgres://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).ok_or("must have a host")?;
        // A password may hold an @; a host cannot.
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let url = Self { scheme, user_info, hosts, path, query };
        url.check_hosts()?;
        url.check_parameters()?;
        Ok(url)
    }

    /// Returns the hosts with their ports, as written.
    pub(crate) fn host_list(&self) -> impl Iterator<Item = &'u str> {
        self.hosts.split(',')
    }

    /// Returns a URL for each host, in the order of the list.
    pub(crate) fn single_urls(&self) -> Vec<String> {
        let user_info = self.user_info.map(|it| format!("{it}@")).unwrap_or_default();
        let others: Vec<&str> = self.parameters().filter(|it| key_of(it) != SESSION_ATTRIBUTES).collect();
        let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        let single = |host| format!("{}://{user_info}{host}{}{query}", self.scheme, self.path);
        self.host_list().map(single).collect()
    }

    /// Returns the URL without its password and its parameters.
    pub(crate) fn masked_url(&self) -> String {
        let user =
            match self.user_info.map(|it| it.split_once(':').map_or((it, false), |(user, _)| (user, true))) {
                Some((user, true)) => format!("{user}:***@"),
                Some((user, false)) => format!("{user}@"),
                None => String::new(),
            };
        format!("{}://{user}{}{}", self.scheme, self.hosts, self.path)
    }

    fn parameters(&self) -> impl Iterator<Item = &'u str> {
        self.query.into_iter().flat_map(|query| query.split('&')).filter(|it| !it.is_empty())
    }

    fn check_hosts(&self) -> Result<(), &'static str> {
        let several = self.hosts.contains(',');
        if several && self.host_list().any(str::is_empty) {
            return Err("a host of the list is empty");
        }
        let in_parameters = |it: &str| matches!(key_of(it), "host" | "hostaddr" | "port");
        let listed = |it: &str| in_parameters(it) && (several || it.contains(',') || it.contains("%2C"));
        if self.parameters().any(listed) {
            return Err("a list of hosts stands before the path, not in parameters");
        }
        Ok(())
    }

    fn check_parameters(&self) -> Result<(), &'static str> {
        let asked = self.parameters().filter(|it| key_of(it) == SESSION_ATTRIBUTES);
        let mut values = asked.map(|it| it.split_once('=').map_or("", |(_, value)| value));
        if values.all(|value| matches!(value, "read-write" | "primary")) {
            Ok(())
        } else {
            Err("target_session_attrs must be read-write: only a primary is used")
        }
    }
}

fn key_of(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::PostgresUrl;

    fn single(text: &str) -> Vec<String> {
        PostgresUrl::parse(text).unwrap().single_urls()
    }

    #[test]
    fn a_single_host_stays_as_it_is_written() {
        for text in [
            "postgres://kabar@db/kabar",
            "postgresql://u@x:p@ss,word@db:5433/k?sslmode=require&options[search_path]=a,b",
            "postgres:///?host=/run/postgresql",
            "postgres://u@%2Frun%2Fpostgresql/k",
            "postgres://db",
        ] {
            assert_eq!(single(text), [text]);
        }
    }

    #[test]
    fn each_host_of_a_list_gets_an_address_of_its_own() {
        let text = "postgres://u:p@db1:5432,[::1]:5433,db3/k?target_session_attrs=read-write&sslmode=require";
        let hosts = ["db1:5432", "[::1]:5433", "db3"];
        assert_eq!(single(text), hosts.map(|host| format!("postgres://u:p@{host}/k?sslmode=require")));
        assert_eq!(single("postgres://a,b?target_session_attrs=primary"), ["postgres://a", "postgres://b"]);
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        for (text, shown) in [
            ("postgres://u:hunter2@a,b:1/k?password=hunter2", "postgres://u:***@a,b:1/k"),
            ("postgres://u:hun@ter2@a/k", "postgres://u:***@a/k"),
            ("postgres://u@a,b", "postgres://u@a,b"),
        ] {
            assert_eq!(PostgresUrl::parse(text).unwrap().masked_url(), shown);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "postgres:db",
            "postgres://a,,b/k",
            "postgres://a,b/k?host=c",
            "postgres://u@/k?host=a,b",
            "postgres://a,b/k?target_session_attrs=any",
            "postgres://a/k?target_session_attrs=standby",
        ] {
            assert!(PostgresUrl::parse(text).is_err(), "{text}");
        }
    }
}
