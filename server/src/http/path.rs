//! The routes: one total match from a path to what it names.
//!
//! Nothing is decoded, normalized or joined to a file name: a path either is one of these texts or is not found.

use http::Method;

use crate::log_name::LogName;

/// What a request is for; the label that metrics and logs give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Add,
    Entries,
    Entry,
    Head,
    Checkpoint,
    Keys,
    Tile,
    Inclusion,
    Consistency,
    Events,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Docs,
    Unknown,
}

impl Route {
    pub(crate) const ALL: [Self; 16] = [
        Self::Add,
        Self::Entries,
        Self::Entry,
        Self::Head,
        Self::Checkpoint,
        Self::Keys,
        Self::Tile,
        Self::Inclusion,
        Self::Consistency,
        Self::Events,
        Self::Health,
        Self::Ready,
        Self::Metrics,
        Self::OpenApi,
        Self::Docs,
        Self::Unknown,
    ];

    /// The path with its variable parts in braces.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Add => "/logs/{log}/add",
            Self::Entries => "/logs/{log}/entries",
            Self::Entry => "/logs/{log}/entries/{index}",
            Self::Head => "/logs/{log}/head",
            Self::Checkpoint => "/logs/{log}/checkpoint",
            Self::Keys => "/logs/{log}/keys",
            Self::Tile => "/logs/{log}/tile/{tile}",
            Self::Inclusion => "/logs/{log}/proof/inclusion",
            Self::Consistency => "/logs/{log}/proof/consistency",
            Self::Events => "/logs/{log}/events",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Unknown => "unknown",
        }
    }

    /// The methods that the route knows, as the header `Allow` lists them.
    pub(crate) const fn allow(self) -> &'static str {
        match self {
            Self::Add => "POST",
            Self::Entries => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        match self {
            Self::Add => method == Method::POST,
            Self::Entries => matches!(*method, Method::GET | Method::HEAD | Method::POST),
            _ => matches!(*method, Method::GET | Method::HEAD),
        }
    }
}

/// A path, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) route: Route,
    /// The log's name; empty for routes outside of a log.
    pub(crate) log: &'a str,
    /// The entry's index, or the tile's path with `tile/`, still text; empty for other routes.
    pub(crate) item: &'a str,
}

impl<'a> Target<'a> {
    pub(crate) fn parse(path: &'a str) -> Self {
        let outside = |route| Self { route, log: "", item: "" };
        let Some(in_log) = path.strip_prefix("/logs/") else {
            return outside(match path {
                "/healthz" => Route::Health,
                "/readyz" => Route::Ready,
                "/metrics" => Route::Metrics,
                "/openapi.json" => Route::OpenApi,
                "/" | "/docs" => Route::Docs,
                _ => Route::Unknown,
            });
        };
        match in_log.split_once('/') {
            Some((log, resource)) if LogName::is_one(log) => Self::resource(log, resource),
            _ => outside(Route::Unknown),
        }
    }

    fn resource(log: &'a str, resource: &'a str) -> Self {
        let (route, item) = match resource {
            "add" => (Route::Add, ""),
            "entries" => (Route::Entries, ""),
            "checkpoint" => (Route::Checkpoint, ""),
            "head" => (Route::Head, ""),
            "keys" => (Route::Keys, ""),
            "proof/inclusion" => (Route::Inclusion, ""),
            "proof/consistency" => (Route::Consistency, ""),
            "events" => (Route::Events, ""),
            _ => match resource.split_once('/') {
                Some(("tile", item)) if !item.is_empty() => (Route::Tile, resource),
                Some(("entries", item)) if !item.is_empty() && !item.contains('/') => (Route::Entry, item),
                _ => (Route::Unknown, ""),
            },
        };
        Self { route, log, item }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_found_at_its_label() {
        for route in Route::ALL.into_iter().filter(|route| *route != Route::Unknown) {
            let path = route.label().replace("{log}", "main").replace("{index}", "7").replace("{tile}", "0/x001/002");
            let target = Target::parse(&path);
            assert_eq!(target.route, route, "{path}");
            assert_eq!(target.log, if path.starts_with("/logs") { "main" } else { "" });
        }
        assert_eq!(Target::parse("/logs/a/tile/entries/000.p/5").item, "tile/entries/000.p/5");
        assert_eq!(Target::parse("/logs/a/entries/12").item, "12");
    }

    #[test]
    fn anything_else_is_unknown() {
        let tricks = [
            "",
            "/logs",
            "/logs/",
            "/logs/main",
            "/logs/main/",
            "/logs//head",
            "/logs/../head",
            "/logs/./head",
            "/LOGS/main/head",
            "/logs/main/head/",
            "//logs/main/head",
            "/logs/main//head",
            "/logs/Main/head",
            "/logs/-a/head",
            "/logs/.a/head",
            "/logs/main/entries/",
            "/logs/main/entries/1/2",
            "/logs/main/tile",
            "/logs/main/tile/",
            "/logs/m%61in/head",
            "/logs/main/%68ead",
            "/logs/main/proof",
            "/logs/main/proof/inclusion/",
            "/healthz/",
            "/logs/main/add/1",
            "*",
        ];
        for path in tricks {
            assert_eq!(Target::parse(path).route, Route::Unknown, "{path}");
        }
    }
}
