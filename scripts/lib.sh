# shellcheck shell=bash
# Sourced by the scripts beside it: one way to make a virtual environment.
#
#   PYTHON   interpreter to use; default python3

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="${PYTHON:-python3}"

say() { printf 'edgeface: %s\n' "$*" >&2; }

# fail WHAT FIX [CODE]: one line, like the program itself.
fail() {
    say "$1; $2"
    exit "${3:-1}"
}

# The interpreter is there and new enough; prints its full path and version.
find_python() {
    command -v "$PYTHON" >/dev/null || fail "$PYTHON is not installed" "apt install python3, or set PYTHON"
    "$PYTHON" - <<'PY' || fail "$("$PYTHON" --version 2>&1) is not supported" "set PYTHON to a Python from 3.10 to 3.13" 2
import sys
print(sys.executable, "%d.%d" % sys.version_info[:2])
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PY
}

# create_venv FOLDER: with uv when it is there, else with Python's own venv; either has pip in it.
create_venv() {
    rm -rf "$1"
    if command -v uv >/dev/null && uv venv --quiet --seed --python "$(command -v "$PYTHON")" "$1" 2>/dev/null; then
        return
    fi
    create_plain_venv "$1"
}

# create_plain_venv FOLDER: with what came with this Python and nothing from a network.
create_plain_venv() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "this Python cannot make virtual environments (ensurepip is missing)" "apt install python3-venv"
    rm -rf "$1"
    "$PYTHON" -m venv "$1"
}

# pip_in FOLDER ARGUMENTS...: that environment's pip; where it fails, one line says why.
pip_in() {
    local folder="$1" said why
    shift
    said="$("$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input "$@" 2>&1)" && return
    if grep -qiE 'hashes? do not match|do not match the hashes' <<<"$said"; then
        fail "a package that came is not the one that is locked" "do not use this index; see requirements/"
    fi
    if grep -qiE 'from versions: none|connection|timed out|name resolution|unreachable|proxy|SSLError' <<<"$said"; then
        fail "pip reaches no package index" "connect this machine, or name an index with PIP_INDEX_URL"
    fi
    why="$(grep -E '^ERROR: ' <<<"$said" | tail -n 1)"
    why="${why#ERROR: }"
    [ -n "$why" ] || why="$(tail -n 1 <<<"$said")"
    why="${why%% (from versions:*}"
    fail "pip failed: ${why%.}" "correct that, or name an index that has it with PIP_INDEX_URL"
}

# install_into FOLDER WHAT...: uv is faster, pip knows the machine's own settings.
install_into() {
    local folder="$1"
    shift
    if [ -f "$folder/.uv" ] && uv pip install --quiet --python "$folder/bin/python" "$@" 2>/dev/null; then
        return
    fi
    pip_in "$folder" install "$@"
}

# make_venv FOLDER EXTRAS [PACKAGE...]: the tree itself with these extras, editable; the packages go in first.
# Nothing is done again while pyproject.toml, the extras and the interpreter are the same.
make_venv() {
    local folder="$1" extras="$2" python stamp
    shift 2
    python="$(find_python)" || exit $?
    stamp="$(printf '%s\n' "$python" "$extras" "$@" | cat - "$ROOT/pyproject.toml" | sha256sum | cut -d' ' -f1)"
    [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && return
    say "making ${folder#"$ROOT"/} with [$extras] (a minute or a few)"
    if [ ! -x "$folder/bin/python" ] || [ "$(cat "$folder/.python" 2>/dev/null)" != "$python" ]; then
        create_venv "$folder"
        printf '%s\n' "$python" >"$folder/.python"
        if grep -q '^uv = ' "$folder/pyvenv.cfg"; then touch "$folder/.uv"; fi
    fi
    if [ $# -gt 0 ]; then install_into "$folder" "$@"; fi
    install_into "$folder" --editable "${ROOT}[$extras]"
    printf '%s\n' "$stamp" >"$folder/.stamp"
}
