#!/usr/bin/env bash
# Data directories of the embedded corpus: training mixtures drawn on the fly, dev and test fixed by the CSVs.
set -euo pipefail

datadir=data
corpus=corpus
while [ $# -gt 0 ]; do
    case "$1" in
        --datadir) datadir="$2" ;;
        --corpus) corpus="$2" ;;
        *) echo "local/data.sh: error: no option $1 (--datadir, --corpus)" >&2; exit 1 ;;
    esac
    shift 2
done

speech="${corpus}/LibriSpeech" noise="${corpus}/wham_noise" metadata="${corpus}/metadata"

espnet2-sop prepare simulation --speech_root "${speech}" --subset train-mini --noise_root "${noise}/tr" \
    --config conf/simulation.yaml --out "${datadir}/train"
espnet2-sop prepare librimix --speech_root "${speech}" --noise_root "${noise}" --condition both \
    --csv "${metadata}"/mini{1,2,3}mix_dev.csv --out "${datadir}/dev"
for talkers in 1 2 3; do
    for condition in clean noisy; do
        espnet2-sop prepare librimix --speech_root "${speech}" --noise_root "${noise}" --condition "${condition}" \
            --csv "${metadata}/mini${talkers}mix_test.csv" --out "${datadir}/test_${talkers}mix_${condition}"
    done
done
