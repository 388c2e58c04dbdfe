#!/usr/bin/env bash
# Real voices of a freeware game: one, two and three talkers, clean and noisy, through all stages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec ./sop.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_1mix_clean test_2mix_clean test_3mix_clean test_1mix_noisy test_2mix_noisy test_3mix_noisy" \
    --max_duration 20 \
    --base_config "conf/base.yaml conf/encoder/whisper-base.yaml" \
    --ctc_vocab_size 500 \
    "$@"
