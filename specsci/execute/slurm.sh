#!/bin/bash
# Runners of the study '@STUDY@' that share one store: each task of the array claims steps there, until none is left.
# Submit it with `sbatch`; submitting it again, or more of it, is safe. Written by `specsci study slurm`.
#SBATCH --job-name=@NAME@
#SBATCH --array=0-@LAST@
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@@GRACE@
#SBATCH --output=@LOGS@
@DIRECTIVES@
set -u
export OMP_WAIT_POLICY=PASSIVE
cd @FOLDER@ || exit 2

asked_to_stop=
on_term() {  # a little before the time limit: the run saves its training stage, and this task waits in the queue again
  asked_to_stop=yes
  kill -TERM "$runner" 2>/dev/null
}
trap on_term TERM

@COMMAND@ &
runner=$!
wait "$runner"
code=$?
while kill -0 "$runner" 2>/dev/null; do  # `wait` ends early at the signal
  wait "$runner"
  code=$?
done
if [ -n "$asked_to_stop" ] && [ "$code" -eq 4 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" && exit 0
fi
exit "$code"
