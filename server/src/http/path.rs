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
    Records,
    Record,
    RecordReceipt,
    Stream,
    StreamState,
    StreamDiff,
    StreamEvents,
    Reports,
    DigitCapture,
    DigitCreate,
    DigitSearch,
    DigitVerify,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Docs,
    Unknown,
}

impl Route {
    pub(crate) const ALL: [Self; 28] = [
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
        Self::Records,
        Self::Record,
        Self::RecordReceipt,
        Self::Stream,
        Self::StreamState,
        Self::StreamDiff,
        Self::StreamEvents,
        Self::Reports,
        Self::DigitCapture,
        Self::DigitCreate,
        Self::DigitSearch,
        Self::DigitVerify,
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
            Self::Records => "/v1/records",
            Self::Record => "/v1/records/{id}",
            Self::RecordReceipt => "/v1/records/{id}/receipt",
            Self::Stream => "/v1/streams/entity/{tenant}/{module}/{entity}/{object}",
            Self::StreamState => "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/state",
            Self::StreamDiff => "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/diff",
            Self::StreamEvents => "/v1/streams/entity/{tenant}/{module}/{entity}/{object}/events",
            Self::Reports => "/v1/reports",
            Self::DigitCapture => "/audit-service/log/v1/_capture",
            Self::DigitCreate => "/audit-service/log/v1/_create",
            Self::DigitSearch => "/audit-service/log/v1/_search",
            Self::DigitVerify => "/audit-service/log/v1/_verify",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Unknown => "unknown",
        }
    }

    /// The same of a stream that is named, and no object's; streams alone have one.
    pub(crate) const fn named_label(self) -> Option<&'static str> {
        match self {
            Self::Stream => Some("/v1/streams/named/{tenant}/{name}"),
            Self::StreamState => Some("/v1/streams/named/{tenant}/{name}/state"),
            Self::StreamDiff => Some("/v1/streams/named/{tenant}/{name}/diff"),
            Self::StreamEvents => Some("/v1/streams/named/{tenant}/{name}/events"),
            _ => None,
        }
    }

    /// The methods that the route knows, as the header `Allow` lists them.
    pub(crate) const fn allow(self) -> &'static str {
        match self {
            Self::Add => "POST",
            _ if self.is_digit() => "POST",
            Self::Entries | Self::Records => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }

    /// Whether it is one of DIGIT's audit service.
    pub(crate) const fn is_digit(self) -> bool {
        matches!(self, Self::DigitCapture | Self::DigitCreate | Self::DigitSearch | Self::DigitVerify)
    }

    /// Whether its path is written into our log, where nothing can be erased, `understood` or not: never one that may tell of a
    /// person, be it that of no route, and of a log's items only what is one.
    pub(crate) const fn shows_path(self, understood: bool) -> bool {
        match self {
            Self::Unknown => false,
            Self::Entry | Self::Tile => understood,
            _ => !self.is_about_records(),
        }
    }

    /// Whether its path may tell of a person, and so is kept out of logs.
    pub(crate) const fn is_about_records(self) -> bool {
        matches!(
            self,
            Self::Records
                | Self::Record
                | Self::RecordReceipt
                | Self::Stream
                | Self::StreamState
                | Self::StreamDiff
                | Self::StreamEvents
                | Self::Reports
        )
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        match self {
            Self::Add => method == Method::POST,
            _ if self.is_digit() => method == Method::POST,
            Self::Entries | Self::Records => matches!(*method, Method::GET | Method::HEAD | Method::POST),
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
    /// The entry's index, the tile's path with `tile/`, a record's id or a stream's name, still text; empty for other routes.
    pub(crate) item: &'a str,
}

impl<'a> Target<'a> {
    /// The path with its variable parts in braces, as the description of the routes has it: those of named streams have one
    /// of their own.
    pub(crate) fn label(&self) -> &'static str {
        let named = self.route.named_label().filter(|_| self.item.starts_with("named/"));
        named.unwrap_or_else(|| self.route.label())
    }

    pub(crate) fn parse(path: &'a str) -> Self {
        let outside = |route| Self { route, log: "", item: "" };
        if let Some(item) = path.strip_prefix("/v1/records/") {
            return Self::record(item);
        }
        if let Some(item) = path.strip_prefix("/v1/streams/") {
            return Self::stream(item);
        }
        let Some(in_log) = path.strip_prefix("/logs/") else {
            return outside(match path {
                "/v1/records" => Route::Records,
                "/v1/reports" => Route::Reports,
                "/audit-service/log/v1/_capture" => Route::DigitCapture,
                "/audit-service/log/v1/_create" => Route::DigitCreate,
                "/audit-service/log/v1/_search" => Route::DigitSearch,
                "/audit-service/log/v1/_verify" => Route::DigitVerify,
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

    fn record(item: &'a str) -> Self {
        let (route, item) = match item.split_once('/') {
            None if !item.is_empty() => (Route::Record, item),
            Some((id, "receipt")) if !id.is_empty() => (Route::RecordReceipt, id),
            _ => (Route::Unknown, ""),
        };
        Self { route, log: "", item }
    }

    /// A stream's name has so many parts, and what is asked of it stands behind them.
    fn stream(item: &'a str) -> Self {
        let unknown = Self { route: Route::Unknown, log: "", item: "" };
        let parts = match item.split_once('/') {
            Some(("entity", _)) => 5,
            Some(("named", _)) => 3,
            _ => return unknown,
        };
        let count = item.split('/').count();
        if item.split('/').any(str::is_empty) {
            return unknown;
        }
        let (name, asked) = if count == parts { (item, "") } else { item.rsplit_once('/').unwrap_or((item, "")) };
        let route = match asked {
            _ if name.split('/').count() != parts => return unknown,
            "" => Route::Stream,
            "state" => Route::StreamState,
            "diff" => Route::StreamDiff,
            "events" => Route::StreamEvents,
            _ => return unknown,
        };
        Self { route, log: "", item: name }
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
            let path = route
                .label()
                .replace("{log}", "main")
                .replace("{index}", "7")
                .replace("{tile}", "0/x001/002")
                .replace("{id}", "01");
            let target = Target::parse(&path);
            assert_eq!(target.route, route, "{path}");
            assert_eq!(target.log, if path.starts_with("/logs") { "main" } else { "" });
        }
        assert_eq!(Target::parse("/logs/a/tile/entries/000.p/5").item, "tile/entries/000.p/5");
        assert_eq!(Target::parse("/logs/a/entries/12").item, "12");
        let named = Target::parse("/v1/streams/named/pb/a%2Fb/state");
        assert_eq!((named.route, named.item), (Route::StreamState, "named/pb/a%2Fb"));
        assert_eq!(named.label(), "/v1/streams/named/{tenant}/{name}/state");
        assert_eq!(Target::parse("/v1/streams/named/pb/state").item, "named/pb/state");
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
            "/v1",
            "/v1/records/",
            "/v1//records",
            "/v1/records/1/",
            "/v1/records//receipt",
            "/v1/records/1/receipts",
            "/v1/streams/entity/t/m/e",
            "/v1/streams/entity/t/m/e/o/states",
            "/v1/streams/entity/t/m//o",
            "/v1/streams/named/t/n/state/",
            "/v1/streams/other/t/n",
            "/V1/records",
            "*",
        ];
        for path in tricks {
            assert_eq!(Target::parse(path).route, Route::Unknown, "{path}");
        }
    }
}
