"""Running a plan: scheduler, runner, pools, worker, display."""
