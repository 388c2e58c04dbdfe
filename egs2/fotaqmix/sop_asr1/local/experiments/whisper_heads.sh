#!/usr/bin/env bash
# whisper_heads.sh DIR [SEED]: stages 2 and 3 with Whisper's decoder, heads on frames of the frozen encoder. Goes on
# from run 2 of whisper_stage1.sh.
set -euo pipefail
group=whisper
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

start="${root}/run2/stage1_sot/valid.acc.ave.pth"
[ -f "${start}" ] || fail "${start} is missing: run local/experiments/whisper_stage1.sh first"
runs="${root}/heads_${seed}"
base="conf/base.yaml conf/encoder/whisper-base.yaml conf/float32.yaml conf/llm/whisper-base.yaml"
options=(--conf_dir conf/whisper --base_config "${base}" --expdir "${runs}" --ctc_vocab_size 32
    --train_set train_fixed --cache true)

if [ ! -f "${root}/dump/train_fixed/mixtures.jsonl" ]; then # 11 epochs of mixtures and 1200 single talkers
    cp -r "${root}/data/train_2" "${root}/data/single"
    sed -i 's/^talkers:.*/talkers: {1: 1.0}/; s/^mixtures_per_epoch:.*/mixtures_per_epoch: 1200/' \
        "${root}/data/single/simulation.yaml"
    espnet2-sop prepare epochs --simulation "${root}/data/single/simulation.yaml" --epochs 1 \
        --out "${root}/data/train_single"
    espnet2-sop prepare epochs --simulation "${root}/data/train_2/simulation.yaml" --epochs 11 \
        --out "${root}/data/train_mixed"
    "${tools[@]}" join "${root}/data/train_single" "${root}/data/train_mixed" --out "${root}/data/train_fixed"
    format_set train_fixed
fi
[ -d "${runs}/stage1_sot" ] || { mkdir -p "${runs}" && cp -r "${root}/run2/stage1_sot" "${runs}"; }
recipe "${options[@]}" --stage 3 --stop_stage 3 --systems sop
draw_test fresh_3mix_clean 2611 300
recipe "${options[@]}" --stage 6 --stop_stage 11 --systems "ctc sot_continued sop sop_none" \
    --decode_args "--no_repeat_ngram 6" --test_sets "${clean} fresh_3mix_clean" --train_args "--seed ${seed}"
recipe "${options[@]}" --stage 7 --stop_stage 10 --systems sop_reference --decode_args "--no_repeat_ngram 6" \
    --test_sets "${clean}" --train_args "--seed ${seed} --max_epoch 1"
read -ra sets <<<"${clean} fresh_3mix_clean"
compare "${runs}" sop sot_continued "${sets[@]}"
compare "${runs}" sop sop_none "${sets[@]}"
