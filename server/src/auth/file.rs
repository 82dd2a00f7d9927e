//! The token file: `tokens.json` in the data directory, readable by its owner alone, replaced as a whole, with a digest
//! (`crate::summed`).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::Token;
use crate::limits::TOKENS;
use crate::regular::{open_regular, read_bounded};
use crate::replace::replace_file;
use crate::summed::{self, Summed};

const FILE_NAME: &str = "tokens.json";
const FORMAT: u32 = 2;
/// The format before there were records. Its tokens are good for no tenant's.
const WITHOUT_TENANTS: u32 = 1;
/// More than the largest number of tokens takes.
const FILE_BYTES: u64 = 32 << 20;

/// The place of the tokens on disk.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    tokens: Vec<Token>,
}

/// Why the tokens can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could read it.
    #[error("{path} is readable by others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not what this program writes.
    #[error(
        "{path} is damaged: {problem}; put it back, from the newest backup for one (if you changed it yourself, see Small files \
         in docs/operations.md)",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There are as many as are supported.
    #[error("there are already {TOKENS} tokens; revoke one first")]
    TooMany,
}

impl TokenFile {
    /// The token file of a data directory.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { path: data.join(FILE_NAME) }
    }

    /// Reads all tokens.
    ///
    /// # Errors
    /// [`TokenFileError`]; a file that others can read is refused.
    pub fn load(&self) -> Result<Vec<Token>, TokenFileError> {
        self.load_summed().map(|read| read.content)
    }

    /// The same, and gives a file of an earlier version its digest.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn load_and_add_sum(&self) -> Result<Vec<Token>, TokenFileError> {
        let _lock = self.lock()?;
        let Summed { content: tokens, has_sum } = self.load_summed()?;
        if !has_sum {
            self.store(&tokens)?;
        }
        Ok(tokens)
    }

    fn load_summed(&self) -> Result<Summed<Vec<Token>>, TokenFileError> {
        let file = open_regular(&self.path).map_err(|source| self.io(source))?;
        let mode = file.metadata().map_err(|source| self.io(source))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenFileError::Open { path: self.path.clone(), mode });
        }
        let bytes = read_bounded(file, FILE_BYTES).map_err(|source| self.io(source))?;
        let damaged = |problem: String| TokenFileError::Damaged { path: self.path.clone(), problem };
        let read = summed::read::<Content>(&bytes).map_err(|error| damaged(error.to_string()))?;
        let Summed { content, has_sum } = read;
        let tokens = Summed { content: content.tokens, has_sum };
        match content.format {
            FORMAT => Ok(tokens),
            WITHOUT_TENANTS if tokens.content.iter().all(|token| token.tenants.is_none()) => Ok(tokens),
            WITHOUT_TENANTS => Err(damaged("tokens for tenants in a format that has none".to_owned())),
            other => Err(damaged(format!("format {other}, not {FORMAT}"))),
        }
    }

    /// Keeps other processes from editing until the lock is dropped.
    ///
    /// # Errors
    /// [`TokenFileError::Io`] if the folder can't be locked.
    pub fn lock(&self) -> Result<File, TokenFileError> {
        // The folder, because the file itself is replaced.
        let folder = File::open(self.folder()).map_err(|source| self.io(source))?;
        rustix::fs::flock(&folder, FlockOperation::LockExclusive).map_err(|error| self.io(error.into()))?;
        Ok(folder)
    }

    /// Whether there is a file.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Replaces the file, so that a crash leaves the old or the new one.
    ///
    /// # Errors
    /// [`TokenFileError`]; the old file then still stands.
    pub fn store(&self, tokens: &[Token]) -> Result<(), TokenFileError> {
        if tokens.len() > TOKENS {
            return Err(TokenFileError::TooMany);
        }
        let content = Content { format: FORMAT, tokens: tokens.to_vec() };
        let bytes = summed::to_pretty(&content).map_err(|error| self.io(error.into()))?;
        replace_file(&self.path, &bytes).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> TokenFileError {
        TokenFileError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::auth::{Caller, Right, Tenants, TokenTerms, TokenText, Tokens};

    #[test]
    fn tokens_are_stored_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::of(folder.path());
        assert!(matches!(file.load(), Err(TokenFileError::Io { .. })));
        let text = TokenText::from_random([7; TokenText::RANDOM_BYTES]);
        let (rights, logs) = ("read".parse().unwrap(), "*".parse().unwrap());
        let terms = TokenTerms { name: "a".into(), rights, logs, tenants: Tenants::all(), producer_keys: vec![] };
        let tokens = vec![Token::new(&text, terms, 1)];
        file.store(&tokens).unwrap();
        file.store(&tokens).unwrap();
        assert_eq!(file.load().unwrap(), tokens);

        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(file.load(), Err(TokenFileError::Open { mode: 0o640, .. })));
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file.path, b"{\"format\":1,\"tokens\":[],\"more\":1}").unwrap();
        assert!(matches!(file.load(), Err(TokenFileError::Damaged { .. })));
    }

    /// As versions before there were records wrote it.
    const OLD: &str = r#"{"format":1,"tokens":[{"id":"070707070707","name":"a","rights":"append,read,admin","logs":"*",
        "created_ms":1,"digest":"DIGEST"}]}"#;

    #[test]
    fn an_old_file_gives_what_it_gave_and_nothing_on_records() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::of(folder.path());
        let text = TokenText::from_random([7; TokenText::RANDOM_BYTES]);
        let terms = TokenTerms {
            name: "a".into(),
            rights: "append,read,admin".parse().unwrap(),
            logs: "*".parse().unwrap(),
            tenants: Tenants::default(),
            producer_keys: vec![],
        };
        let kept = Token::new(&text, terms, 1);
        let json = serde_json::to_value(&kept).unwrap();
        file.store(&[]).unwrap();
        let old = OLD.replace("DIGEST", json["digest"].as_str().unwrap());
        fs::write(&file.path, &old).unwrap();
        let tokens = file.load().unwrap();
        assert_eq!(tokens, [kept]);
        let caller = Tokens::new(tokens.clone()).caller(Some(format!("Bearer {}", *text.reveal()).as_bytes()));
        for right in [Right::Append, Right::Read, Right::Admin] {
            assert!(caller.may(right, "main") && !caller.may_on_tenant(right, "main"), "{right:?}");
        }
        assert_ne!(caller, Caller::Unknown);
        file.store(&tokens).unwrap();
        assert_eq!(file.load().unwrap(), tokens);
        fs::write(&file.path, old.replace("\"logs\":\"*\"", "\"logs\":\"*\",\"tenants\":\"*\"")).unwrap();
        assert!(matches!(file.load(), Err(TokenFileError::Damaged { .. })));
    }
}
