# shellcheck shell=bash
# What the clients' run scripts share: a server of their own, with certificates and a log to write.
# Sourced, never run.
#
# A script that sources this calls `serve`, and finds in its environment what `varve`'s own commands
# read too: VARVE_SERVER, VARVE_CA, VARVE_CERT and VARVE_KEY. The server ends with the script.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

# The server is the release build.
varve=$target/release/varve
# Certificates, settings, data and whatever else should be gone when the script ends.
work=$(mktemp --directory)
server=''
trap 'finish $?' EXIT

# finish CODE: ends the server and the script. A server that does not end well fails the script.
finish() {
    local code=$1 ended=0
    trap - EXIT
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || ended=$?
    fi
    if [[ $code -ne 0 || $ended -ne 0 ]]; then
        [[ ! -f $work/server.log ]] || sed 's/^/server: /' "$work/server.log" >&2
        echo "exit code $code; the server's was $ended" >&2
    fi
    rm -rf "$work"
    [[ $code -ne 0 ]] || code=$ended
    exit "$code"
}

# Makes the release build if it is not there.
need_server() {
    if [[ ! -x $varve ]]; then
        need_cargo
        cargo build --locked --release
    fi
}

# issue PROFILE NAME: a certificate by the requests in the folder certs.
issue() {
    local request=certs/$2-csr.json
    [[ $1 == server ]] || request=certs/$2-client-csr.json
    "$varve" certs issue "$1" "$request" --config certs/ca-config.json \
        --ca "$work/ca.pem" --ca-key "$work/ca-key.pem" --name "$2" --out "$work" >/dev/null
}

# Starts a server on a free port of the loopback address, where the subject root may do everything.
serve() {
    local line=''
    need_server
    "$varve" certs ca certs/ca-csr.json --name ca --out "$work" >/dev/null
    issue server server
    issue client root
    printf '%s\n' 'p, root, *, *' >"$work/acl.csv"
    printf '%s\n' 'listen = "127.0.0.1:0"' "data_dir = \"$work/data\"" \
        '[tls]' "cert = \"$work/server.pem\"" "key = \"$work/server-key.pem\"" \
        "client_ca = \"$work/ca.pem\"" '[acl]' "file = \"$work/acl.csv\"" >"$work/varve.toml"
    # The server writes where it listens to its standard output, once it takes calls.
    mkfifo "$work/ready"
    "$varve" serve --config "$work/varve.toml" >"$work/ready" 2>"$work/server.log" &
    server=$!
    read -r line <"$work/ready" || true
    [[ $line == 'listening on '* ]] || fail 'The server ended before it took calls.'
    # By name, because some TLS libraries would rather not ask for a number.
    export VARVE_SERVER=localhost:${line##*:}
    export VARVE_CA=$work/ca.pem VARVE_CERT=$work/root.pem VARVE_KEY=$work/root-key.pem
}
