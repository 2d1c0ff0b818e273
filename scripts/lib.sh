# shellcheck shell=bash
# What the scripts share: where things are, and how steps are shown. Sourced, never run.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)
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

# crate_version: that of Cargo.toml.
crate_version() {
    sed --quiet 's/^version = "\(.*\)"$/\1/p;T;q' "$repo/Cargo.toml"
}

# boot ROOT MACHINE CONSOLE: boots the Debian in the folder ROOT in a container without a network,
# whose console goes to a file. Its first process is then $init. `end_boot` ends it.
boot() {
    local own
    own=$(readlink /proc/self/ns/pid)
    init='' outer=''
    systemd-nspawn --quiet --register=no --keep-unit --private-network --resolv-conf=off \
        --machine="$2" --directory="$1" --boot >"$3" 2>&1 &
    outer=$!
    for _ in {1..300}; do
        init=$(pgrep --parent "$outer" || true)
        # At first the process is still among those of the host.
        if [[ $init =~ ^[0-9]+$ && $(readlink "/proc/$init/ns/pid") != "$own" ]] &&
            nsenter --target "$init" --all systemctl is-active multi-user.target &>/dev/null; then
            return
        fi
        kill -0 "$outer" 2>/dev/null || fail "the container ended: $(tail --lines=5 "$3")"
        sleep 0.2
    done
    fail 'the container did not boot within a minute'
}

# end_boot: a container ends at once with its first process, and if that was not found with what was
# to boot it.
end_boot() {
    local process
    for process in ${init:-} ${outer:-}; do
        kill -KILL "$process" 2>/dev/null || true
    done
    # The shell would tell that it was killed.
    wait 2>/dev/null
}

# small_debian FOLDER [OPTION...]: makes it with debootstrap unless it is there, whole.
small_debian() {
    local folder=$1
    shift
    [[ ! -x $folder/usr/bin/apt-get ]] || return 0
    [[ ! -e $folder ]] || fail "$folder is there, and is no Debian: remove it"
    step 'a small Debian'
    rm -rf "$folder.part"
    debootstrap --variant=minbase "$@" bookworm "$folder.part"
    mv "$folder.part" "$folder"
}

# cargo_tool CRATE VERSION: a program of that crate, compiled once into the target folder.
cargo_tool() {
    local crate=$1 version=$2 tools=$target/tools
    PATH=$tools/bin:$PATH
    [[ $("$tools/bin/$crate" "${crate#cargo-}" --version 2>/dev/null) != *"$version" ]] || return 0
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" \
        --version "$version" "$crate"
}
