#!/bin/sh
# One run on several nodes, by MPI: the black box is started once a rank.
#
#     sbatch --nodes=4 examples/slurm_mpi.sh "python3 model.py" 64 work
#
# The same line goes on from the checkpoint in the folder, also with another number of nodes. The program must be built with
# `--features mpi` against the MPI of the cluster, see docs/clusters.md.
#
#SBATCH --job-name=disentangle
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.log
# Half an hour before the end a signal ends the run with a line; the checkpoint has all answers.
#SBATCH --signal=TERM@1800
set -eu
command=$1
inputs=$2
folder=$3
mkdir -p "$folder"
export RAYON_NUM_THREADS="$SLURM_CPUS_PER_TASK"
# A rank that dies ends all others.
exec srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    disentangle identify --process "$command" --input-dim "$inputs" --checkpoint "$folder" \
    --out "$folder/recovered.safetensors" --report "$folder/report.json"
