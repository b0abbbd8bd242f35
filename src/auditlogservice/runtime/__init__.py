"""The process: settings, keys, logs, metrics, the command line, and where everything is built."""
