#!/usr/bin/env bash
# whisper_pieces.sh DIR [SEED]: the heads write 200 pieces, on top of the mean of runs 2, 3 and 4; then a milder stage 3
# for the seed (2509 and 2510 in RESULTS_whisper.md). Goes on from whisper_stage1.sh, and whisper_encoder.sh with 2509.
set -euo pipefail
group=whisper
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

model="${root}/run4/stage1_sot_mean" heads="${root}/encoder_2509"
for file in "${model}/valid.acc.ave.pth" "${heads}/stage2_ctc_encoder/valid.ter.ave.pth"; do
    [ -f "${file}" ] || fail "${file} is missing: run whisper_stage1.sh and whisper_encoder.sh first"
done
stage2="${root}/pieces" runs="${root}/pieces_${seed}"
base="conf/base.yaml conf/encoder/whisper-base.yaml conf/float32.yaml conf/llm/whisper-base.yaml"
put "${root}/unmasked.yaml" "encoder_conf: {config: {apply_spec_augment: false}}"
put "${root}/own.yaml" "encoder_conf: {heads_lora: {r: 16, lora_alpha: 32}}" # of the checkpoint, for the control
options=(--conf_dir "${root}/encoder" --ctc_vocab_size 200)

draw train_pieces 2520 "1: 0.25, 2: 0.4, 3: 0.35"
draw "train_pieces_${seed}" "$((seed + 11))" "1: 0.25, 2: 0.4, 3: 0.35"
lstm="${base} ${root}/lstm.yaml"
[ -d "${stage2}/vocab" ] || recipe "${options[@]}" --expdir "${stage2}" --train_set train_pieces \
    --base_config "${lstm}" --stage 3 --stop_stage 3 --systems ctc_encoder
if [ ! -f "${stage2}/stage1_sot/valid.acc.ave.pth" ]; then # each piece starts with the weights of its last character
    mkdir -p "${stage2}/stage1_sot"
    cp "${model}/config.yaml" "${stage2}/stage1_sot"
    "${tools[@]}" take "${model}/valid.acc.ave.pth" "${heads}/stage2_ctc_encoder/valid.ter.ave.pth" \
        downsampler separator encoder_heads ctc --pieces {"${heads}","${stage2}"}/vocab/sentencepiece/tokens.txt \
        --out "${stage2}/stage1_sot/valid.acc.ave.pth"
fi
recipe "${options[@]}" --expdir "${stage2}" --train_set train_pieces --stage 6 --stop_stage 6 --systems ctc_encoder \
    --base_config "${lstm} ${root}/unmasked.yaml" --train_args "--max_epoch 4 --num_iters_per_epoch 550"

[ -d "${runs}" ] || { mkdir -p "${runs}" && cp -r "${stage2}"/{stage1_sot,stage2_ctc_encoder,vocab} "${runs}"; }
options+=(--expdir "${runs}" --train_set "train_pieces_${seed}")
stage3=(--stage 7 --stop_stage 7
    --train_args "--seed ${seed} --max_epoch 4 --num_iters_per_epoch 100 --optim_conf lr=0.0001")
large="${lstm} ${root}/large.yaml"
recipe "${options[@]}" --base_config "${large}" "${stage3[@]}" --systems "sop_encoder sop_encoder_none"
recipe "${options[@]}" --base_config "${lstm} ${root}/own.yaml" "${stage3[@]}" --systems sot_continued
recipe "${options[@]}" --base_config "${large}" --stage 9 --stop_stage 11 --decode_args "--no_repeat_ngram 6" \
    --systems "ctc_encoder sop_encoder sop_encoder_none sot_continued" --test_sets "${clean}"
read -ra sets <<<"${clean}"
compare "${runs}" sop_encoder sot_continued "${sets[@]}"
compare "${runs}" sop_encoder sop_encoder_none "${sets[@]}"
compare "${runs}" sop_encoder_none sot_continued "${sets[@]}"
