"""The process that executes runs: the connection to the server, warm children, bundles."""
