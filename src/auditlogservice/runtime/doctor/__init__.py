"""What is weak or wrong in a deployment: one small check for each line of the list.

`findings` is what a check says; `machine`, `reach`, `files`, `keeping` and `served` are the
checks, `examination` asks them all. They change nothing; only the store is brought up to date when
it is opened, as every command does.
"""
