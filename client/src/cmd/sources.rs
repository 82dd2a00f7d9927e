//! Where entries come from: files, folders, lines; each with the name of the receipt that it will get.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::failure::Failure;
use crate::bounds;
use crate::files::{beside, read_bounded};

/// What a receipt's file name ends in (C2SP tlog-proof).
const RECEIPT_SUFFIX: &str = ".tlog-proof";
/// The name of what comes from standard input.
const STDIN_NAME: &str = "stdin";

/// A file to append, and the path of its receipt without the suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The file; `None` is standard input.
    pub(super) path: Option<PathBuf>,
    /// Where its receipts go: this with a suffix.
    pub(super) receipt: PathBuf,
}

impl Source {
    /// How the source is called in results.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| STDIN_NAME.to_owned(), |path| path.display().to_string())
    }

    /// The receipt of the whole file.
    pub(super) fn receipt(&self) -> PathBuf {
        beside(&self.receipt, RECEIPT_SUFFIX)
    }

    /// The receipt of one line, counted from 1.
    pub(super) fn line_receipt(&self, line: u64) -> PathBuf {
        beside(&self.receipt, &format!(".{line}{RECEIPT_SUFFIX}"))
    }

    /// A reader of its bytes.
    pub(super) fn open<'a>(&self, stdin: &'a mut dyn Read) -> Result<Box<dyn BufRead + 'a>, Failure> {
        match &self.path {
            None => Ok(Box::new(BufReader::new(stdin))),
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(BufReader::new(file))),
                Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
            },
        }
    }
}

/// Lists the files that the arguments name, folders in full, and where each one's receipt goes: beside it, or, under
/// `out`, at the same relative path.
///
/// Receipts in folders are passed over, so that a folder can be appended twice; so are symbolic links.
pub(super) fn list(arguments: &[PathBuf], out: Option<&Path>) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            let receipt = out.unwrap_or(Path::new(".")).join(STDIN_NAME);
            sources.push(Source { path: None, receipt });
            continue;
        }
        let metadata = fs::metadata(argument).map_err(|error| unusable(argument, &error))?;
        if metadata.is_dir() {
            walk(argument, out, &mut sources)?;
        } else {
            add(argument.clone(), out, &mut sources)?;
        }
    }
    if sources.iter().filter(|source| source.path.is_none()).count() > 1 {
        return Err(Failure::Usage("standard input (-) can be read once only".to_owned()));
    }
    refuse_collisions(&sources)?;
    Ok(sources)
}

fn walk(folder: &Path, out: Option<&Path>, sources: &mut Vec<Source>) -> Result<(), Failure> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).map_err(|error| unusable(&folder, &error))? {
            let item = item.map_err(|error| unusable(&folder, &error))?;
            let kind = item.file_type().map_err(|error| unusable(&item.path(), &error))?;
            let is_receipt = item.file_name().to_string_lossy().ends_with(RECEIPT_SUFFIX);
            if kind.is_dir() {
                folders.push(item.path());
            } else if kind.is_file() && !is_receipt {
                files.push(item.path());
            }
            if files.len() + folders.len() > bounds::APPEND_FILES {
                return Err(too_many());
            }
        }
    }
    files.sort();
    files.into_iter().try_for_each(|file| add(file, out, sources))
}

fn add(path: PathBuf, out: Option<&Path>, sources: &mut Vec<Source>) -> Result<(), Failure> {
    if sources.len() == bounds::APPEND_FILES {
        return Err(too_many());
    }
    let receipt = match out {
        None => path.clone(),
        Some(out) => out.join(under(&path)?),
    };
    sources.push(Source { path: Some(path), receipt });
    Ok(())
}

/// Where a file's receipt goes under `--out`: a relative path is kept, of any other only the file's name.
fn under(path: &Path) -> Result<PathBuf, Failure> {
    let stays_inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if stays_inside {
        return Ok(path.components().filter(|part| !matches!(part, Component::CurDir)).collect());
    }
    path.file_name().map(PathBuf::from).ok_or_else(|| Failure::Usage(format!("{}: no file name", path.display())))
}

fn refuse_collisions(sources: &[Source]) -> Result<(), Failure> {
    let mut taken: HashMap<&Path, &Source> = HashMap::with_capacity(sources.len());
    for source in sources {
        if let Some(other) = taken.insert(&source.receipt, source) {
            return Err(Failure::Usage(format!(
                "{} and {} would both get the receipt {}",
                other.name(),
                source.name(),
                source.receipt().display()
            )));
        }
    }
    Ok(())
}

/// Refuses files that no log takes, before anything is sent.
pub(super) fn refuse_long_files(sources: &[Source]) -> Result<(), Failure> {
    for path in sources.iter().filter_map(|source| source.path.as_deref()) {
        let length = fs::metadata(path).map_err(|error| unusable(path, &error))?.len();
        if length > bounds::ENTRY_BYTES as u64 {
            return Err(too_long(&path.display().to_string(), &format!("{length} bytes")));
        }
    }
    Ok(())
}

/// Refuses files with lines that no log takes, before anything is sent. Standard input cannot be read twice: there the
/// line is met when it comes.
pub(super) fn refuse_long_lines(sources: &[Source]) -> Result<(), Failure> {
    for source in sources.iter().filter(|source| source.path.is_some()) {
        let mut nothing = std::io::empty();
        let mut lines = Lines::new(source.name(), source.open(&mut nothing)?);
        while lines.next_line()?.is_some() {}
    }
    Ok(())
}

/// The lines of a source, each without its newline, each of bounded length.
pub(super) struct Lines<'a> {
    name: String,
    reader: Box<dyn BufRead + 'a>,
    number: u64,
}

impl<'a> Lines<'a> {
    /// Reads lines from the start.
    pub(super) fn new(name: String, reader: Box<dyn BufRead + 'a>) -> Self {
        Self { name, reader, number: 0 }
    }

    /// The next line and its number, counted from 1; `None` at the end.
    pub(super) fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>, Failure> {
        let mut line = Vec::new();
        // One byte more than the longest entry and its newline tells a line that is too long from one that just fits.
        let mut bounded = self.reader.by_ref().take(bounds::ENTRY_BYTES as u64 + 1);
        bounded.read_until(b'\n', &mut line).map_err(|error| Failure::Refused(format!("{}: {error}", self.name)))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > bounds::ENTRY_BYTES {
            return Err(too_long(&format!("{}: line {}", self.name, self.number), "a longer line"));
        }
        Ok(Some((self.number, line)))
    }
}

/// Reads one entry: a file, or one of its lines.
pub(super) fn read_entry(path: &Path, line: Option<u64>, stdin: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let source = Source { path: (path.as_os_str() != "-").then(|| path.to_owned()), receipt: PathBuf::new() };
    if let Some(wanted) = line {
        let mut lines = Lines::new(source.name(), source.open(stdin)?);
        while let Some((number, line)) = lines.next_line()? {
            if number == wanted {
                return Ok(line);
            }
        }
        return Err(Failure::Usage(format!("{}: there is no line {wanted}", source.name())));
    }
    read_whole(&source, stdin)
}

/// Reads a whole source as one entry.
pub(super) fn read_whole(source: &Source, stdin: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let bound = bounds::ENTRY_BYTES;
    let entry = match &source.path {
        Some(path) => match read_bounded(path, bound) {
            Err(crate::files::FileError::TooLong { .. }) => return Err(too_long(&source.name(), "a longer file")),
            other => other?,
        },
        None => {
            let mut bytes = Vec::new();
            let read = stdin.take(bound as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| Failure::Refused(format!("{STDIN_NAME}: {error}")))?;
            bytes
        }
    };
    if entry.len() > bound { Err(too_long(&source.name(), "more input")) } else { Ok(entry) }
}

fn too_long(name: &str, found: &str) -> Failure {
    Failure::Refused(format!("{name}: an entry is at most {} bytes, this is {found}", bounds::ENTRY_BYTES))
}

fn too_many() -> Failure {
    Failure::Usage(format!("more than {} files", bounds::APPEND_FILES))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}
