#!/usr/bin/env bash
# Makes .venv, or brings it up to date: everything of pyproject.toml with its dev extra, at the pins of constraints.txt.
# Does nothing when .venv/.ready holds the digest of what the environment was made from.
#
#   PYTHON=python3.12 tools/environment.sh    # choose the interpreter of a new environment
#   UV_TORCH_BACKEND=cpu tools/environment.sh # torch without CUDA
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv
stamp=$venv/.ready

say() { printf 'environment: %s\n' "$*" >&2; }

# The folder is part of the digest: an environment that was moved or copied still points to the old one.
digest() {
    { pwd -P; cat pyproject.toml constraints.txt; } | git hash-object --stdin
}

works() {
    "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# 3.11 first: the pins were tried there. Prints the base interpreter, because with .venv activated the name would lead
# into the folder that is about to be replaced.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        "$candidate" -c '
import sys
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit(1)
print(sys._base_executable)' 2>/dev/null && return
    done
    say "found no Python 3.11, 3.12 or 3.13${PYTHON:+ at PYTHON=$PYTHON}; install one, or name it: make PYTHON=/path/to/python3"
    return 1
}

create() {
    local python
    python=$(find_python)
    say "creating $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" && return
    rm -rf "$venv"
    if ! command -v uv >/dev/null; then
        say "$python has no working venv module; on Debian and Ubuntu install python3-venv, elsewhere install uv"
        return 1
    fi
    uv venv --quiet --seed --python "$python" "$venv"
}

find_uv() {
    command -v uv && return
    "$venv/bin/python" -m pip install --quiet --constraint constraints.txt uv >&2 || return 1
    printf '%s\n' "$venv/bin/uv"
}

# uv is many times faster; pip also knows the indexes and certificates of pip's own configuration files.
install() {
    local uv
    if uv=$(find_uv); then
        say "installing with $("$uv" --version); the first time this takes some minutes"
        if [ -n "${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"; fi
        "$uv" pip install --quiet --python "$venv/bin/python" --constraint constraints.txt --editable '.[dev]' && return
        say "uv could not install everything; trying pip"
    fi
    "$venv/bin/python" -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
}

prepare() {
    local wanted
    wanted=$(digest)
    if works && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
    # Without a stamp the last attempt did not end, or somebody else made the folder: begin anew.
    if ! works || [ ! -f "$stamp" ]; then create; fi
    rm -f "$stamp"
    install
    printf '%s\n' "$wanted" >"$stamp"
    say "ready"
}

# Two makes at once would otherwise build the same folder twice.
mkdir -p work/locks
exec 9>work/locks/environment.lock
if command -v flock >/dev/null; then flock 9; fi
prepare
