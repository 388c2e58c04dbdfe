#!/usr/bin/env bash
# tools/docs.sh [FOLDER]: HTML pages of all docstrings (default folder: build/docs), without network; a warning is an error.
set -euo pipefail
out=$(realpath -m "${1:-build/docs}")
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools/in_env.sh python3 -W error::UserWarning:pdoc -m pdoc --docformat google --no-show-source \
    --footer-text "espnet2-sop" --output-directory "$out" espnet2_sop
printf 'docs.sh: %s\n' "$out/index.html"
