# shellcheck shell=bash
# What the scripts share: where things are, and how steps are shown. Sourced, never run.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo"
# Absolute, so that a command may be run from another folder.
# shellcheck disable=SC2034 # the scripts that source this use it
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")

if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
else
    bold='' plain=''
fi

# step TEXT: a heading.
step() {
    printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

# fail TEXT...: ends the script; a line per text.
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# need_cargo: Rust is the one thing, beside git, that the scripts do not install.
need_cargo() {
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    command -v cargo >/dev/null || fail \
        'Rust is missing. Install it as https://rustup.rs says, open a new terminal, and try again.'
}

# cargo_tool CRATE VERSION: a program of that crate, compiled once into the target folder.
cargo_tool() {
    local crate=$1 version=$2 tools=$target/tools
    PATH=$tools/bin:$PATH
    [[ $("$tools/bin/$crate" "${crate#cargo-}" --version 2>/dev/null) != *"$version" ]] || return 0
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" \
        --version "$version" "$crate"
}
