#!/usr/bin/env bash
# LibriSpeechMix: training mixtures simulated from LibriSpeech, the published test lists of one, two and three talkers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec ./sop.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "dev_clean_1mix dev_clean_2mix dev_clean_3mix test_clean_1mix test_clean_2mix test_clean_3mix" \
    --max_duration 60 \
    --ngpu 1 \
    "$@"
