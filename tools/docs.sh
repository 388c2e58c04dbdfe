#!/usr/bin/env bash
# tools/docs.sh [FOLDER]: HTML pages of all docstrings (default folder: build/docs); needs no network.
set -euo pipefail
out=$(realpath -m "${1:-build/docs}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/in_env.sh python3 -m pdoc --docformat google --no-show-source --output-directory "$out" espnet2_sop
printf 'docs.sh: %s\n' "$out/index.html"
