# shellcheck shell=bash
# shellcheck disable=SC2034  # job.sh, which sources this file, uses the variables
# Where jobs run. A recipe may replace its link to this file by a copy of its own.
#
#   local   on this machine, one after the other (default)
#   slurm   through sbatch, which must be on PATH; data and experiment folders on a disk that the nodes share

cmd_backend=${SOP_BACKEND:-local}

# Options of sbatch; `sbatch --help` lists more. sbatch also reads its own variables, such as SBATCH_PARTITION.
#   --partition=NAME   queue           --mem=64G            memory of a job
#   --time=D-HH:MM:SS  time limit      --cpus-per-task=N    cores of a job
slurm_cpu_options=(--time="${SBATCH_TIMELIMIT:-1-00:00:00}" --cpus-per-task=4 --mem=16G)
slurm_gpu_options=(--time="${SBATCH_TIMELIMIT:-3-00:00:00}" --cpus-per-task=8 --mem=64G)
slurm_gpu_gres=gpu # a job with N GPUs asks for --gres=gpu:N; for a certain kind write gpu:a100
