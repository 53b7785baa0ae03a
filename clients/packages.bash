# shellcheck shell=bash
# Debian packages that Lathe needs, and how to get the missing ones. Sourced by clients/quickstart
# and tests/run; works as root and with sudo, says what it installs, and leaves no PostgreSQL
# cluster running: lathed keeps its own.

# shellcheck disable=SC2034 # used by those who source this
packages_build=(
    cmake ninja-build pkg-config gcc libc6-dev # to build
    gzip libjs-dygraphs                        # the dashboard and its charts
    libcurl4-openssl-dev                       # HTTP for the command line
    libjansson-dev                             # reads JSON
    libmicrohttpd-dev                          # HTTP for the service
    libopenblas-dev                            # matrix products
    libpcre2-dev                               # how tokenizers split text
    libpq-dev                                  # talks to PostgreSQL
    libssl-dev                                 # SHA-256
    libutf8proc-dev                            # how tokenizers normalise text
    libuv1-dev                                 # event loop
    zlib1g-dev                                 # large replies go out packed
)
# shellcheck disable=SC2034
packages_run=(postgresql ca-certificates)

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

packages_missing() { # PACKAGE...: prints those that are not installed
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] ||
            printf '%s\n' "$package"
    done
}

as_root() { # COMMAND...: at once, or through sudo
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installing the package postgresql normally creates a cluster and starts it. A file in this
# directory asks it not to, and is taken away again.
packages_no_cluster() { # on|off
    local file=/etc/postgresql-common/createcluster.d/lathe.conf
    if [ "$1" = on ]; then
        as_root mkdir -p "${file%/*}"
        printf 'create_main_cluster = false\n' | as_root tee "$file" >/dev/null
    else
        as_root rm -f "$file"
    fi
}

packages_apt() { # PACKAGE...
    local log
    log=$(mktemp)
    if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy \
            --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

packages_install() { # WHY PACKAGE...: installs what is missing, after saying so
    local why=$1 missing start=$SECONDS done=0
    shift
    command -v dpkg-query >/dev/null ||
        die "this is not Debian or Ubuntu; install what these packages hold, then run again: $*"
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Debian packages that are missing, $why:"
    say "    ${missing[*]}"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        die "neither root nor sudo is here; as root, run: apt-get install ${missing[*]}"
    packages_no_cluster on
    packages_apt "${missing[@]}" || done=$?
    packages_no_cluster off
    [ "$done" = 0 ] || die "apt-get did not succeed (its last lines are above)"
    say "    installed in $((SECONDS - start)) s"
}
