"""What task authors import: the task decorator, the run context, inputs, files, the client."""
