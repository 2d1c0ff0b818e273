//! `varve man`: the manual pages, made from the same definitions as the command line.
//!
//! Files: `page` (of a command), `facts` (what a page tells that the definitions do not), `prose`
//! (help texts as paragraphs and sections), `keys` (the page of the configuration).

mod facts;
mod keys;
mod page;
mod prose;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::{Args, CommandFactory as _};
use jiff::Timestamp;

use super::Cli;
use super::error::CliError;
use super::output;

const EXAMPLES: &str = "\
Examples:
  varve man | man -l -                 the page about varve
  varve man log create | man -l -      about a command
  varve man varve.toml | man -l -      about the configuration
  varve man --out /usr/local/share/man

With --out the pages go where man looks for them below that folder: man1, man5 and man8. With
SOURCE_DATE_EPOCH they carry its date, else none, so that the same program writes the same pages.";

/// Print a manual page, or write all of them
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ManCommand {
    /// What the page is about: a command such as `log create`, or `varve.toml`
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    about: Vec<String>,
    /// Write all pages below this folder, over those that are there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A manual page.
struct Page {
    /// Its name, such as `varve-log-create`.
    name: String,
    /// The section of the manual.
    section: &'static str,
    /// For `man` to typeset.
    text: String,
}

impl ManCommand {
    /// Runs the command.
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        let pages = pages(&date()?);
        match &self.out {
            Some(folder) => write(&pages, folder)?,
            None => print(find(&pages, &self.about)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(page: &Page) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(page.text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

fn write(pages: &[Page], folder: &Path) -> Result<(), CliError> {
    for page in pages {
        let folder = folder.join(format!("man{}", page.section));
        let path = folder.join(format!("{}.{}", page.name, page.section));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, &page.text))
            .map_err(|source| CliError::WritePage { path: path.clone(), source })?;
        output::line(path.display())?;
    }
    Ok(())
}

/// The page about these words, which may be those of the command line or the page's own name.
fn find<'a>(pages: &'a [Page], about: &[String]) -> Result<&'a Page, CliError> {
    let name = about.join("-");
    let of_command = format!("varve-{name}");
    let wanted = |page: &&Page| match name.as_str() {
        "" => page.name == "varve",
        name => page.name == name || page.name == of_command,
    };
    pages.iter().find(wanted).ok_or_else(|| CliError::NoPage { about: about.join(" ") })
}

/// All pages, with their date.
fn pages(date: &str) -> Vec<Page> {
    // Its pages would only say what `man` says.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![keys::page(date)];
    add(&command, None, date, &mut pages);
    pages
}

fn add(command: &clap::Command, above: Option<&str>, date: &str, pages: &mut Vec<Page>) {
    let page = page::page(command, above, date);
    let name = page.name.clone();
    pages.push(page);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add(below, Some(&name), date, pages);
    }
}

/// No date. Between the other words of a title nothing at all would count as one less.
const NO_DATE: &str = " ";

/// The date of the pages: that of a build that is to be repeated, else none.
fn date() -> Result<String, CliError> {
    let Some(epoch) = env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(NO_DATE.to_owned());
    };
    let time = epoch.to_str().and_then(|text| text.parse().ok());
    let time = time.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time =
        time.ok_or_else(|| CliError::Epoch { found: epoch.to_string_lossy().into_owned() })?;
    Ok(time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn page<'a>(pages: &'a [Page], about: &[&str]) -> &'a Page {
        find(pages, &about.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn each_page_has_its_sections_once_and_what_it_refers_to_is_there() {
        let pages = pages("2026-01-02");
        let names: BTreeSet<_> =
            pages.iter().map(|page| format!("{}({})", page.name, page.section)).collect();
        assert_eq!(names.len(), pages.len(), "a page is there twice");
        for Page { name, section, text } in &pages {
            assert!(text.contains(&format!(" {section} 2026-01-02 ")), "{name}: {text}");
            let headings: Vec<_> =
                text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
            let different: BTreeSet<_> = headings.iter().collect();
            assert_eq!(headings.len(), different.len(), "{name}: {headings:?}");
            for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "\"SEE ALSO\""] {
                assert!(headings.contains(&heading), "{name}: {headings:?}");
            }
            let is_command = *section != "5";
            assert_eq!(headings.contains(&"\"EXIT STATUS\""), is_command, "{name}");
            let refers = text.split(".SH \"SEE ALSO\"").nth(1).unwrap().replace("\\-", "-");
            for word in refers.replace("\\fB", "").replace("\\fR", "").split([' ', ',', '\n']) {
                let ours = word.starts_with("varve") && word.ends_with(')');
                assert!(!ours || names.contains(word), "{name} refers to {word}");
            }
        }
    }

    #[test]
    fn a_page_is_found_by_its_command_or_by_its_name() {
        let pages = pages(NO_DATE);
        assert_eq!(page(&pages, &[]).name, "varve");
        assert_eq!(page(&pages, &["serve"]).section, "8");
        assert_eq!(page(&pages, &["log", "create"]).name, "varve-log-create");
        assert_eq!(page(&pages, &["varve-log-create"]).name, "varve-log-create");
        assert_eq!(page(&pages, &["varve.toml"]).section, "5");
        let none = find(&pages, &["log".to_owned(), "make".to_owned()]);
        assert!(matches!(none, Err(CliError::NoPage { about }) if about == "log make"));
    }

    #[test]
    fn a_page_tells_flags_variables_files_and_examples() {
        let pages = pages(NO_DATE);
        let produce = &page(&pages, &["produce"]).text;
        for part in [
            "\\fB\\-\\-durability\\fR",
            "\\fBVARVE_SERVER\\fR",
            ".SH EXAMPLES",
            ".SH FORMATS",
            "echo hello | varve produce",
        ] {
            assert!(produce.contains(part), "{part}: {produce}");
        }
        let serve = &page(&pages, &["serve"]).text;
        for part in [".SH SIGNALS", ".SH FILES", "/etc/varve/varve.toml", "\\fBVARVE_LOG\\fR"] {
            assert!(serve.contains(part), "{part}: {serve}");
        }
        let check = &page(&pages, &["acl", "check"]).text;
        assert!(check.contains("1  denied") && !check.contains("75  the data"), "{check}");
    }
}
