#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine for work on Steelyard. Every part first looks whether anything is missing,
# and says what it is about to install before it does; a second run installs nothing and needs no network.
#
#   tools/setup.sh venv engine image loads servers tools
#
#   venv    .venv from the hashed lock, with the `steelyard` command and this checkout as steelyard.stack
#   engine  a Docker engine that answers (from the distribution; started even where no systemd runs)
#   image   the base image of the lab's stand-in machines
#   loads   load generators: hey, wrk
#   servers a Redis server for tests on loopback; no service is started
#   tools   shellcheck, for the lint
#
#   STEELYARD_NO_INSTALL=1   install nothing: what is missing is refused, with its name
#   PYTHON=/path/to/python   the interpreter (3.11 or later) the virtual environment is made from
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=$ROOT/.venv
LOCK=$ROOT/requirements/dev.txt
STAMP=$VENV/.steelyard-lock

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
  printf 'setup: refused: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 2
}

installing_allowed() { [[ ${STEELYARD_NO_INSTALL:-} != 1 ]]; }

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root is needed for: $*" "run it as root, or install sudo"
  fi
}

deb_installed() { [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == 'install ok installed' ]]; }

# apt_install WHAT_FOR PACKAGE...: installs the packages that are missing.
apt_install() {
  local what_for=$1 package missing=()
  shift
  command -v dpkg-query >/dev/null ||
    die "this is no Debian or Ubuntu machine, and $what_for is missing" "install it by hand: $*"
  for package in "$@"; do deb_installed "$package" || missing+=("$package"); done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  installing_allowed ||
    die "$what_for is missing, and STEELYARD_NO_INSTALL=1 is set" "install it by hand: apt-get install ${missing[*]}"
  say "about to install from the distribution, for $what_for: ${missing[*]}"
  say "  (to do it yourself: apt-get install ${missing[*]}; to forbid it: STEELYARD_NO_INSTALL=1)"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

python_is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
    if command -v "$name" >/dev/null && python_is_new_enough "$name"; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# Names the interpreter to use, after installing one where the distribution has it.
require_python() {
  local python package candidate
  if python=$(find_python); then
    printf '%s\n' "$python"
    return 0
  fi
  [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON is not Python 3.11 or later" "name another, or leave PYTHON unset"
  if command -v apt-cache >/dev/null; then
    ! installing_allowed || [[ -n $(apt-cache search --names-only '^python3$') ]] || as_root apt-get update -qq
    for package in python3 python3.13 python3.12 python3.11; do
      candidate=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: //p')
      [[ $candidate =~ ^3\.(1[1-9]|[2-9][0-9]) ]] || continue
      apt_install "Python 3.11 or later" "$package" "$package-venv" >&2
      command -v "$package"
      return 0
    done
  fi
  die "no Python 3.11 or later on this machine, and the distribution has none" \
    "install one and name it: make ${MAKECMDGOALS:-test} PYTHON=/path/to/python3.11"
}

# What the environment is made from: the same inputs, the same environment.
venv_fingerprint() {
  {
    printf '%s\n' "$ROOT"
    "$VENV/bin/python" -c 'import sys; print(sys.version)'
    cat "$LOCK" "$ROOT/pyproject.toml"
  } | sha256sum | cut -d' ' -f1
}

pip() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

# Whole, and not moved here from elsewhere: scripts name the interpreter by its path.
venv_is_usable() {
  [[ -x $VENV/bin/python && -f $VENV/bin/pip ]] && pip --version >/dev/null 2>&1 &&
    [[ $(head -n1 "$VENV/bin/pip") == "#!$VENV/bin/"* ]]
}

venv_is_current() { venv_is_usable && [[ -f $STAMP && $(cat "$STAMP") == "$(venv_fingerprint)" ]]; }

make_venv() {
  local python version
  python=$(require_python)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # The distributions split venv off, one package a version.
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    apt_install "the virtual environment" "$version-venv"
  fi
  "$python" -m venv --clear "$VENV"
}

fill_venv() {
  if ! installing_allowed; then
    # Only what is there already counts: pip looks nowhere.
    pip install --quiet --no-index --require-hashes -r "$LOCK" 2>/dev/null || refuse_venv
  elif ! pip install --quiet --no-index --require-hashes -r "$LOCK" 2>/dev/null; then
    say "about to install into .venv the packages of requirements/dev.txt (74, about 600 MB on disk), each pinned by"
    say "  version and hash (to do it yourself: .venv/bin/pip install --require-hashes -r requirements/dev.txt;"
    say "  to forbid it: STEELYARD_NO_INSTALL=1)"
    pip install --quiet --require-hashes -r "$LOCK"
  fi
  pip install --quiet --no-index --no-deps --no-build-isolation -e "$ROOT"
}

refuse_venv() {
  die ".venv is missing or does not hold what requirements/dev.txt pins, and STEELYARD_NO_INSTALL=1 is set" \
    "make it by hand: python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements/dev.txt"
}

link_collection() {
  local site
  site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  mkdir -p "$site/ansible_collections/steelyard"
  ln -sfn "$ROOT" "$site/ansible_collections/steelyard/stack"
  # The same for the type checker, apart from what the packages bring.
  mkdir -p "$VENV/types/ansible_collections/steelyard"
  ln -sfn "$ROOT" "$VENV/types/ansible_collections/steelyard/stack"
}

part_venv() {
  venv_is_current && return 0
  if ! venv_is_usable; then
    installing_allowed || refuse_venv
    make_venv
  fi
  fill_venv
  link_collection
  venv_fingerprint >"$STAMP"
  say ".venv is ready"
}

part_engine() {
  command -v ssh >/dev/null || apt_install "reaching the stand-ins" openssh-client
  "$VENV/bin/python" -m steelyard.lab.engine ensure
}

part_image() { "$VENV/bin/python" "$ROOT/tools/image.py"; }

part_loads() {
  command -v hey >/dev/null || apt_install "a load generator" hey
  command -v wrk >/dev/null || apt_install "a load generator" wrk
}

# redis-tools holds the server under another name, and starts no service as the package redis-server would.
part_servers() {
  command -v redis-check-rdb >/dev/null || apt_install "tests with real Redis servers" redis-tools
  ln -sfn "$(command -v redis-check-rdb)" "$VENV/bin/redis-server"
}

part_tools() {
  command -v shellcheck >/dev/null || apt_install "the lint of shell scripts" shellcheck
}

main() {
  [[ $# -gt 0 ]] || die "no part named" "one or more of: venv engine image loads servers tools"
  local part
  for part in "$@"; do
    case $part in
      venv | engine | image | loads | servers | tools) "part_$part" ;;
      *) die "no part is called $part" "one or more of: venv engine image loads servers tools" ;;
    esac
  done
}

main "$@"
