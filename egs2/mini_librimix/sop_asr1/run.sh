#!/usr/bin/env bash
# The embedded corpus: one, two and three talkers, clean and noisy, through all stages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec ./sop.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_1mix_clean test_2mix_clean test_3mix_clean test_1mix_noisy test_2mix_noisy test_3mix_noisy" \
    --max_duration 8 \
    --pack_args "--include_pretrained --language en --license apache-2.0" \
    "$@"
