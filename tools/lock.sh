#!/usr/bin/env bash
# Makes the locks anew: requirements/control.txt and dev.txt, every package pinned by version and hash.
# `tools/lock.sh --upgrade` takes the newest versions that the .in files allow; without it pins are kept.
# Names of package indexes, mirrors and trusted hosts are this machine's own affair and stay out of the files.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
TOOLS=$ROOT/.build/lock
PIP_TOOLS=pip-tools==7.6.2
PIP=pip==26.3

if [[ ${STEELYARD_NO_INSTALL:-} == 1 ]]; then
  echo "lock: refused: it installs $PIP_TOOLS into .build/lock, and STEELYARD_NO_INSTALL=1 is set" >&2
  exit 2
fi
echo "lock: about to install $PIP_TOOLS into .build/lock and to look up every package in the index" >&2

# The oldest Python that is supported decides, so that every later one finds its packages too.
"${PYTHON:-$ROOT/.venv/bin/python}" -m venv --clear "$TOOLS"
"$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check "$PIP" "$PIP_TOOLS"

compile_lock() {
  "$TOOLS/bin/pip-compile" --quiet --generate-hashes --strip-extras --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options "$@"
}

cd "$ROOT/requirements"
compile_lock "$@" --output-file=control.txt control.in
compile_lock "$@" --constraint=control.txt --output-file=dev.txt dev.in
echo "lock: done; tools/setup.sh venv installs it" >&2
