"""The command line: serve, worker, deploy, run, logs, demo and the rest."""
