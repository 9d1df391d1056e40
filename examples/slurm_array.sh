#!/bin/sh
# A study as an array of jobs, each with a shard of the plan: nothing is needed but SLURM.
#
#     sbatch --array=1-16 examples/slurm_array.sh studies/wide.toml results/wide 16
#
# A job that was cut off goes on by the same line, or with its own number alone (`--array=7`; the 16 at the end stays). When all have ended:
#
#     disentangle study --merge results/wide
#
#SBATCH --job-name=disentangle-study
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=%x-%A-%a.log
set -eu
plan=$1
folder=$2
shards=$3
exec disentangle study --plan "$plan" --out "$folder" --shard "$SLURM_ARRAY_TASK_ID/$shards" \
    --jobs "$SLURM_CPUS_PER_TASK" --quiet
