#!/usr/bin/env bash
# The paper: Libri2Mix and Libri3Mix, clean and noisy, WavLM-Large and Llama-3.2-3B.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

exec ./sop.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_2mix_clean test_2mix_noisy test_3mix_clean test_3mix_noisy" \
    --base_config "conf/base.yaml conf/llm/llama-3.2-3b.yaml" \
    --max_duration 20 \
    --ngpu 1 \
    "$@"
