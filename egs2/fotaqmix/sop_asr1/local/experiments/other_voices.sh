#!/usr/bin/env bash
# other_voices.sh DIR [SEED]: a short stage 0 on `train`, a second game and a Piper voice; how good the heads become.
# Needs `pip install piper-tts resemblyzer` and Debian's packages beneath-a-steel-sky, ancient, fortunes, fortunes-min.
set -euo pipefail
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

add_sky
add_piper
prepare_sets train sky joe5
inherit conf align conf/train_align.yaml "init_from: pretrained" "single_talker_epochs: 3" "max_epoch: 3"
inherit conf align_mixtures conf/train_align_mixtures.yaml "max_epoch: 4" "num_iters_per_epoch: 400"
recipe --expdir "${root}/${seed}" --conf_dir "${root}/conf" --systems align_mixtures --stage 3 --stop_stage 5 \
    --ctc_vocab_size 250 --base_config "conf/base.yaml conf/encoder/whisper-base.yaml conf/float32.yaml" \
    --train_args "--seed ${seed}"
sets=()
for name in ${clean}; do sets+=("${root}/dump/${name}"); done
espnet2-sop decode --run "${root}/${seed}/stage0_align_mixtures" --checkpoint 3epoch.pth --mode ctc \
    --out "${root}/${seed}/decode/ctc" "${sets[@]}" # the last epoch was not finished
espnet2-sop score --data "${root}/dump" "${root}/${seed}"/decode/ctc/test_*
