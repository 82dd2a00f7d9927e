//! The SQL of persister configurations, as far as an audit needs it: what is done to which table, and which column each `?`
//! is for.
//!
//! Total: any text is read or refused. It is no SQL parser: what stands in a condition or a value is passed over, and a `?`
//! whose column can't be told has none. Unquoted names are the same in any case, as in SQL, and are told in lower case;
//! the schema `public` is left out, since it is where names without one are looked up.

use super::bounds::QUERY_BYTES;

/// What a query does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Insert, update or delete.
    pub verb: Verb,
    /// The table.
    pub table: String,
    /// What each `?` is for, in order.
    pub parameters: Vec<Parameter>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of SQL")]
pub enum Verb {
    Insert,
    Update,
    Delete,
}

/// A `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The column, if it can be told.
    pub column: Option<String>,
    /// Whether it is compared with, and not set.
    pub compared: bool,
}

/// A query that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is too long to look at.
    #[error("it is longer than {QUERY_BYTES} bytes")]
    TooLong,
    /// A quotation or a comment does not end.
    #[error("a quotation or a comment in it does not end")]
    Endless,
    /// It does something else, or begins with something else.
    #[error("it is no INSERT INTO, UPDATE or DELETE FROM")]
    Verb,
    /// There is no table where one must be named.
    #[error("the name of its table can't be found")]
    Table,
    /// The columns of an INSERT can't be told.
    #[error("its columns and values can't be told apart")]
    Columns,
    /// An INSERT has several rows of values, which can't be told apart as records.
    #[error("it writes several rows at once; write one row, and name where its rows are in basePath")]
    Rows,
    /// There is something behind its end.
    #[error("it is more than one statement")]
    Several,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An unquoted word, in lower case.
    Word(String),
    /// A quoted name.
    Quoted(String),
    /// `?`.
    Parameter,
    /// A string, which is passed over.
    Text,
    /// Any other character.
    Sign(char),
}

impl Statement {
    /// Reads a query.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        if text.len() > QUERY_BYTES {
            return Err(StatementError::TooLong);
        }
        let mut tokens = tokens(text)?;
        while tokens.last() == Some(&Token::Sign(';')) {
            tokens.pop();
        }
        if tokens.contains(&Token::Sign(';')) {
            return Err(StatementError::Several);
        }
        let mut tokens = Tokens { all: &tokens, at: 0 };
        let verb = match () {
            () if tokens.words(&["insert", "into"]) => Verb::Insert,
            () if tokens.words(&["update"]) => Verb::Update,
            () if tokens.words(&["delete", "from"]) => Verb::Delete,
            () => return Err(StatementError::Verb),
        };
        if verb != Verb::Insert {
            tokens.words(&["only"]);
        }
        let table = tokens.table().ok_or(StatementError::Table)?;
        let parameters = match verb {
            Verb::Insert => tokens.insert()?,
            Verb::Update | Verb::Delete => tokens.clauses(),
        };
        Ok(Self { verb, table, parameters })
    }

    /// The `?` that has this column's value in the row: what a row is found by, or else what is set.
    #[must_use]
    pub fn parameter_of(&self, column: &str) -> Option<usize> {
        let is = |parameter: &&(usize, &Parameter)| parameter.1.column.as_deref() == Some(column);
        let all: Vec<(usize, &Parameter)> = self.parameters.iter().enumerate().collect();
        let compared = all.iter().rev().filter(|(_, parameter)| parameter.compared).find(is);
        let first = all.iter().find(is);
        let found = if self.verb == Verb::Insert { first } else { compared.or(first) };
        found.map(|(index, _)| *index)
    }
}

struct Tokens<'t> {
    all: &'t [Token],
    at: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<&Token> {
        let token = self.all.get(self.at);
        self.at += usize::from(token.is_some());
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.all.get(self.at)
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.all.get(self.at + ahead), Some(Token::Word(found)) if found == word)
    }

    /// Passes over these words if they are next.
    fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(ahead, word)| self.is_word(ahead, word));
        self.at += if all { words.len() } else { 0 };
        all
    }

    fn sign(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is);
        is
    }

    fn name(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Word(name) | Token::Quoted(name) if !name.is_empty() => {
                let name = name.clone();
                self.at += 1;
                Some(name)
            }
            _ => None,
        }
    }

    fn table(&mut self) -> Option<String> {
        let mut parts = vec![self.name()?];
        while self.sign('.') {
            parts.push(self.name()?);
        }
        if parts.len() > 1 && parts.first().is_some_and(|schema| schema == "public") {
            parts.remove(0);
        }
        Some(parts.join("."))
    }

    /// What stands behind the table of an INSERT.
    fn insert(&mut self) -> Result<Vec<Parameter>, StatementError> {
        if self.words(&["as"]) {
            self.name().ok_or(StatementError::Table)?;
        }
        let columns = self.columns()?;
        let mut parameters = Vec::new();
        if self.words(&["values"]) {
            if !self.sign('(') {
                return Err(StatementError::Columns);
            }
            self.tuple(&columns, &mut parameters)?;
            if self.sign(',') {
                return Err(StatementError::Rows);
            }
        }
        parameters.extend(self.clauses());
        Ok(parameters)
    }

    /// The list of columns, if there is one.
    fn columns(&mut self) -> Result<Vec<String>, StatementError> {
        let mut columns = Vec::new();
        // A query in brackets is none.
        if self.peek() != Some(&Token::Sign('('))
            || matches!(self.all.get(self.at + 1), Some(Token::Word(word)) if word == "select")
        {
            return Ok(columns);
        }
        self.at += 1;
        loop {
            columns.push(self.name().ok_or(StatementError::Columns)?);
            match self.next() {
                Some(Token::Sign(',')) => {}
                Some(Token::Sign(')')) => return Ok(columns),
                _ => return Err(StatementError::Columns),
            }
        }
    }

    /// The values of a row; the bracket that begins it is passed.
    fn tuple(&mut self, columns: &[String], parameters: &mut Vec<Parameter>) -> Result<(), StatementError> {
        let (mut place, mut depth) = (0, 0_usize);
        loop {
            match self.next().ok_or(StatementError::Columns)? {
                Token::Parameter => {
                    parameters.push(Parameter { column: columns.get(place).cloned(), compared: false });
                }
                Token::Sign('(') => depth += 1,
                Token::Sign(')') if depth == 0 => return Ok(()),
                Token::Sign(')') => depth -= 1,
                Token::Sign(',') if depth == 0 => place += 1,
                _ => {}
            }
        }
    }

    /// Conditions and assignments, in whatever order: the column of a `?` is the name before the last comparison.
    fn clauses(&mut self) -> Vec<Parameter> {
        let mut scan = Scan::default();
        while let Some(token) = self.next() {
            scan.take(token);
        }
        scan.parameters
    }
}

/// What a scan through clauses knows.
#[derive(Default)]
struct Scan {
    parameters: Vec<Parameter>,
    /// The column that values are compared with, or that is set.
    column: Option<String>,
    /// The last name.
    name: Option<String>,
    /// Whether values are set here, and not compared.
    sets: bool,
    /// How many brackets are open.
    depth: usize,
    /// Where the clause began.
    base: usize,
    /// Whether the bracket that ended last had a list in it.
    list: bool,
    commas: bool,
}

impl Scan {
    fn take(&mut self, token: &Token) {
        match token {
            Token::Parameter => {
                self.parameters.push(Parameter { column: self.column.clone(), compared: !self.sets });
            }
            Token::Word(word) => self.word(word),
            Token::Quoted(name) => self.name = Some(name.clone()),
            Token::Sign('=' | '<' | '>' | '!' | '~') => self.compare(),
            Token::Sign('(') => {
                self.depth += 1;
                self.commas = false;
            }
            Token::Sign(')') => {
                self.depth = self.depth.saturating_sub(1);
                self.list = self.commas;
            }
            Token::Sign(',') if self.sets && self.depth == self.base => self.end(),
            Token::Sign(',') => self.commas = true,
            Token::Text | Token::Sign(_) => {}
        }
    }

    fn word(&mut self, word: &str) {
        match word {
            "set" => {
                (self.sets, self.base) = (true, self.depth);
                self.end();
            }
            "where" | "and" | "or" | "having" | "on" => {
                self.sets = self.sets && matches!(word, "and" | "or");
                self.end();
            }
            "in" | "like" | "ilike" | "between" | "similar" => self.compare(),
            "not" | "any" | "all" | "is" | "null" | "only" | "cast" | "as" => {}
            name => self.name = Some(name.to_owned()),
        }
    }

    fn compare(&mut self) {
        // Of several columns at once it can't be told which is which.
        if let Some(name) = self.name.take() {
            self.column = (!self.list).then_some(name);
        }
        self.list = false;
    }

    fn end(&mut self) {
        (self.column, self.name, self.list) = (None, None, false);
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, StatementError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let next = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            _ if first.is_whitespace() => next,
            '\'' => {
                tokens.push(Token::Text);
                quoted(next, '\'')?.1
            }
            '"' => {
                let (name, after) = quoted(next, '"')?;
                tokens.push(Token::Quoted(name));
                after
            }
            // In JDBC, two of them are one that is no parameter.
            '?' if next.starts_with('?') => next.get(1..).unwrap_or_default(),
            '?' => {
                tokens.push(Token::Parameter);
                next
            }
            '-' if next.starts_with('-') => next.split_once('\n').map_or("", |(_, after)| after),
            '/' if next.starts_with('*') => {
                next.get(1..).and_then(|within| within.split_once("*/")).ok_or(StatementError::Endless)?.1
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let end = rest.find(|byte: char| !byte.is_alphanumeric() && byte != '_' && byte != '$');
                let (word, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
                // What is no word is no name either, and nothing is looked up by it.
                tokens.push(Token::Word(word.to_lowercase()));
                after
            }
            sign => {
                tokens.push(Token::Sign(sign));
                next
            }
        };
    }
    Ok(tokens)
}

/// What stands up to a quotation mark; two of them are one in the text.
fn quoted(text: &str, mark: char) -> Result<(String, &str), StatementError> {
    let mut inner = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once(mark).ok_or(StatementError::Endless)?;
        inner.push_str(part);
        match after.strip_prefix(mark) {
            Some(more) => {
                inner.push(mark);
                rest = more;
            }
            None => return Ok((inner, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> (Verb, String, Vec<String>) {
        let Statement { verb, table, parameters } = Statement::parse(text).unwrap();
        let column = |parameter: Parameter| {
            let name = parameter.column.unwrap_or_else(|| "-".into());
            if parameter.compared { format!("{name}?") } else { name }
        };
        (verb, table, parameters.into_iter().map(column).collect())
    }

    #[test]
    fn each_place_for_a_value_has_its_column() {
        for (text, verb, table, names) in [
            ("INSERT INTO t_a(id, \"Na\"\"me\", at) VALUES (?, ?, ?);", Verb::Insert, "t_a", "id Na\"me at"),
            ("  insert into  public.T_A ( Id,b ) values (? ,now(),?)", Verb::Insert, "t_a", "id -"),
            ("INSERT INTO s.t(seq,id,n) VALUES (nextval('a,(?'), ?, ?::numeric)", Verb::Insert, "s.t", "id n"),
            ("INSERT INTO t(a,b) VALUES (cast(? as double precision), to_json((?, 1)))", Verb::Insert, "t", "a b"),
            (
                "INSERT INTO t(id,b) VALUES (?,?) ON CONFLICT (id, x) WHERE id IS NOT NULL DO UPDATE SET b=?, c = EXCLUDED.c, d =?",
                Verb::Insert,
                "t",
                "id b b d",
            ),
            ("INSERT INTO t(a) VALUES (?) ON CONFLICT ON CONSTRAINT pk_t DO NOTHING", Verb::Insert, "t", "a"),
            (
                "INSERT INTO t_audit SELECT *, (SELECT extract(epoch from now())) FROM t WHERE id = ?;",
                Verb::Insert,
                "t_audit",
                "id?",
            ),
            ("INSERT INTO t VALUES (?, ?)", Verb::Insert, "t", "- -"),
            (
                "UPDATE t SET a=?,b = cast(? as int), c=coalesce(?, 0) WHERE x.id=? AND lower(n) = ?",
                Verb::Update,
                "t",
                "a b c id? n?",
            ),
            ("update only t set a = ? where id in (?, ?) and n between ? and ?", Verb::Update, "t", "a id? id? n? -?"),
            ("UPDATE t SET (a, b) = (?, ?) WHERE (c, d) = (?, ?) AND e != ?", Verb::Update, "t", "- - -? -? e?"),
            ("UPDATE t SET a=(SELECT b FROM u WHERE k=?) WHERE id=?", Verb::Update, "t", "k? id?"),
            ("DELETE FROM t WHERE id NOT IN (?) OR ? = b -- what? no\n", Verb::Delete, "t", "id? -?"),
            ("DELETE from t WHERE uuid=? on", Verb::Delete, "t", "uuid?"),
            ("DELETE FROM t /* all? */", Verb::Delete, "t", ""),
            ("UPDATE t SET doc = doc ?? 'k', a=?", Verb::Update, "t", "a"),
        ] {
            let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
            assert_eq!(columns(text), (verb, table.to_owned(), names), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, error) in [
            ("", StatementError::Verb),
            ("SELECT 1", StatementError::Verb),
            ("WITH x AS (SELECT 1) DELETE FROM t", StatementError::Verb),
            ("INSERT t VALUES (?)", StatementError::Verb),
            ("INSERT INTO", StatementError::Table),
            ("UPDATE 'x' SET a=?", StatementError::Table),
            ("DELETE FROM public.", StatementError::Table),
            ("INSERT INTO t(a,) VALUES (?)", StatementError::Columns),
            ("INSERT INTO t(a VALUES (?)", StatementError::Columns),
            ("INSERT INTO t(a) VALUES (?", StatementError::Columns),
            ("INSERT INTO t(a) VALUES ?", StatementError::Columns),
            ("INSERT INTO t(a,b) VALUES (?,?), (?,?)", StatementError::Rows),
            ("INSERT INTO t(a) VALUES (1),(?) ON CONFLICT DO NOTHING", StatementError::Rows),
            ("DELETE FROM t WHERE a='?", StatementError::Endless),
            ("DELETE FROM t /* ", StatementError::Endless),
            ("DELETE FROM t; DELETE FROM u", StatementError::Several),
        ] {
            assert_eq!(Statement::parse(text), Err(error), "{text}");
        }
        assert_eq!(Statement::parse(&" ".repeat(QUERY_BYTES + 1)), Err(StatementError::TooLong));
    }

    #[test]
    fn a_row_is_known_by_what_it_is_found_by() {
        let of = |text: &str| Statement::parse(text).unwrap().parameter_of("id");
        assert_eq!(of("INSERT INTO t(a,id) VALUES (?,?) ON CONFLICT (id) DO UPDATE SET a=? WHERE t.id=?"), Some(1));
        assert_eq!(of("UPDATE t SET id=?, a=? WHERE id=?"), Some(2));
        assert_eq!(of("UPDATE t SET id=?, a=? WHERE n=?"), Some(0));
        assert_eq!(of("DELETE FROM t WHERE n=?"), None);
    }
}
