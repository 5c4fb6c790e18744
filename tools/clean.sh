#!/usr/bin/env bash
# Removes the labs of this checkout, what was built here and what tests left. Keeps .venv, the base images and the
# package caches, which cost minutes to make (`docker image rm`, `docker volume rm` and `make distclean` are for them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -x .venv/bin/steelyard && -d .lab ]]; then
  for lab in .lab/*/; do
    [[ -d $lab ]] || continue
    .venv/bin/steelyard lab down "$(basename "$lab")" || echo "clean: lab $(basename "$lab") is still up, see above" >&2
  done
fi
rm -rf .build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible tests/output steelyard-stack-*.tar.gz
find . -path ./.venv -prune -o -path ./.git -prune -o -type d -name __pycache__ -print0 | xargs -0r rm -rf
