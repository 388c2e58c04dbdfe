#!/usr/bin/env bash
# tools/docs.sh [FOLDER]: HTML pages of all docstrings (default: build/docs of this checkout); needs no network.
set -euo pipefail
out=${1:+$(realpath -m "$1")}
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
out=${out:-$PWD/build/docs}
tools/in_env.sh python3 -m pdoc --docformat google --no-show-source --output-directory "$out" espnet2_sop
printf 'docs.sh: %s\n' "$out/index.html"
