//! The page of a command: its flags by `clap_mangen`, and the sections that those leave out.

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::super::exit;
use super::prose::{self, Piece, pieces};
use super::{Page, facts};

/// The page of a built `command`; `above` is the page of the command that it belongs to.
pub(super) fn page(command: &clap::Command, above: Option<&str>, date: &str) -> Page {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let section = facts::section(&name);
    let man = Man::new(command.clone().subcommand_value_name("COMMAND"))
        .title(name.to_uppercase())
        .section(section)
        .date(date)
        .source(source())
        .manual(MANUAL);
    // The command above all others shows the exit codes, which are a section of each page.
    let notes = above.and(command.get_after_long_help().or_else(|| command.get_after_help()));
    let notes = notes.map(ToString::to_string).unwrap_or_default();
    let (sections, prose): (Vec<_>, Vec<_>) =
        pieces(&notes).into_iter().partition(|piece| piece.section().is_some());

    let mut out = Vec::new();
    let clap = |render: fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>,
                out: &mut Vec<u8>| {
        render(&man, out).expect("memory takes what is written to it");
    };
    clap(Man::render_title, &mut out);
    clap(Man::render_name_section, &mut out);
    clap(Man::render_synopsis_section, &mut out);
    let mut head = Roff::new();
    description(&mut head, command, &prose);
    add(&head, &mut out);
    clap(Man::render_options_section, &mut out);
    let mut tail = Roff::new();
    commands(&mut tail, command, &name);
    others(&mut tail, &sections);
    exit_status(&mut tail, &sections);
    environment(&mut tail, command, &name);
    files(&mut tail, &name);
    examples(&mut tail, &sections);
    see_also(&mut tail, &name, above);
    add(&tail, &mut out);
    let text = String::from_utf8(out).expect("its parts are text");
    Page { name, section, text: joined(&text) }
}

/// What the foot of each page says.
pub(super) const MANUAL: &str = "Varve";

/// What wrote the page.
pub(super) fn source() -> String {
    format!("varve {}", env!("CARGO_PKG_VERSION"))
}

fn add(roff: &Roff, out: &mut Vec<u8>) {
    out.extend_from_slice(roff.render().as_bytes());
}

/// Each part that was rendered by itself began with the same definitions; and two breaks around an
/// empty line are one space, which typesetters warn of.
fn joined(text: &str) -> String {
    let preamble = Roff::new().render();
    let text = text.replace(&preamble, "").replace(".br\n\n.br\n", ".sp\n");
    format!("{preamble}{text}")
}

fn description(roff: &mut Roff, command: &clap::Command, prose: &[Piece<'_>]) {
    roff.control("SH", ["DESCRIPTION"]);
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    // A summary has no full stop in a list of commands, and needs one before other sentences.
    let about = if about.contains('\n') { about } else { format!("{about}.") };
    for (n, piece) in pieces(&about).iter().chain(prose).enumerate() {
        match piece {
            // A heading begins a paragraph already.
            Piece::Paragraph(text) if n == 0 => prose::filled(roff, text),
            piece => piece.write(roff),
        }
    }
}

/// The commands below this one.
fn commands(roff: &mut Roff, command: &clap::Command, name: &str) {
    let below: Vec<_> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    if below.is_empty() {
        return;
    }
    roff.control("SH", ["COMMANDS"]);
    for command in below {
        let page = format!("{name}-{}", command.get_name());
        roff.control("TP", []).text(reference(&format!("{page}({})", facts::section(&page))));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        prose::filled(roff, &format!("{about}."));
    }
}

/// Whether `piece` is the section of this title in help texts.
fn is(piece: &Piece<'_>, title: &str) -> bool {
    piece.section().is_some_and(|(found, _)| found == title)
}

const EXAMPLES: &str = "Examples";
const EXIT_CODES: &str = "Exit codes";

/// Sections of the help text that only this page has.
fn others(roff: &mut Roff, sections: &[Piece<'_>]) {
    for piece in sections.iter().filter(|piece| !is(piece, EXAMPLES) && !is(piece, EXIT_CODES)) {
        if let Some((title, _)) = piece.section() {
            block(roff, &title.to_uppercase(), piece);
        }
    }
}

/// A section that is a block of the help text.
fn block(roff: &mut Roff, title: &str, piece: &Piece<'_>) {
    let Piece::Block { lines, .. } = piece else { return };
    roff.control("SH", [title]);
    if let Some((_, Some(more))) = piece.section() {
        let mut letters = more.chars();
        let first: String = letters.next().map(char::to_uppercase).into_iter().flatten().collect();
        prose::filled(roff, &format!("{first}{}:", letters.as_str()));
    }
    prose::verbatim(roff, lines);
}

/// The codes of this command if it has some of its own, else those of all.
fn exit_status(roff: &mut Roff, sections: &[Piece<'_>]) {
    const TITLE: &str = "EXIT STATUS";
    if let Some(own) = sections.iter().find(|piece| is(piece, EXIT_CODES)) {
        return block(roff, TITLE, own);
    }
    for piece in pieces(exit::TABLE) {
        if is(&piece, EXIT_CODES) {
            block(roff, TITLE, &piece);
        } else {
            piece.write(roff);
        }
    }
}

fn environment(roff: &mut Roff, command: &clap::Command, name: &str) {
    let of_flags = command.get_arguments().filter_map(|arg| {
        let variable = arg.get_env()?.to_string_lossy().into_owned();
        Some((variable, format!("Stands for `--{}`.", arg.get_long()?)))
    });
    let others = facts::variables(name);
    let others = others.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let all: Vec<_> = of_flags.chain(others).collect();
    if !all.is_empty() {
        roff.control("SH", ["ENVIRONMENT"]);
    }
    for (variable, meaning) in all {
        prose::term(roff, &variable, &meaning);
    }
}

fn files(roff: &mut Roff, name: &str) {
    let files = facts::files(name);
    if !files.is_empty() {
        roff.control("SH", ["FILES"]);
    }
    for (path, meaning) in files {
        prose::term(roff, path, meaning);
    }
}

fn examples(roff: &mut Roff, sections: &[Piece<'_>]) {
    if let Some(piece) = sections.iter().find(|piece| is(piece, EXAMPLES)) {
        block(roff, "EXAMPLES", piece);
    }
}

/// The pages to read next.
pub(super) fn see_also(roff: &mut Roff, name: &str, above: Option<&str>) {
    roff.control("SH", ["SEE ALSO"]);
    let above = above.map(|above| format!("{above}({})", facts::section(above)));
    let related = facts::related(name).iter().map(ToString::to_string);
    let mut line = Vec::new();
    for page in above.into_iter().chain(related) {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend(reference(&page));
    }
    roff.text(line);
    prose::paragraph(roff, "A package has the whole documentation in /usr/share/doc/varve.");
}

/// The name of a page, such as `varve-log(1)`.
fn reference(page: &str) -> Vec<Inline> {
    let (name, section) = page.split_at(page.find('(').unwrap_or(page.len()));
    vec![bold(name), roman(section)]
}
