"""The command line. Each module is one group of commands; `app` puts them together."""
