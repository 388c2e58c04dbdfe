#!/usr/bin/env bash
# first_run.sh DIR [SEED]: all stages with SmolLM2, on `train` and 1860 utterances of Kokoro's voices.
set -euo pipefail
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ ! -f "${root}/.prepared" ]; then
    write_prose
    add_kokoro 1 150 450 prose1 --texts "${root}/prose.txt"
    add_kokoro 2 150 450 voices2 --speech_root "${speech}" --subset train
    add_kokoro 3 240 480 prose3 --texts "${root}/prose.txt"
    add_kokoro 4 240 480 voices4 --speech_root "${speech}" --subset train
fi
prepare_sets train voices2 voices4 prose1 prose3
recipe --expdir "${root}/${seed}" --stage 3 --test_sets "${clean}" --train_args "--seed ${seed}"
