"""How fast the service is, beside what else could be done: one run, one table.

`python -m bench` measures ratios, both sides in turn in one run, and writes `bench/results.md`.
The servers run with their shipped defaults; no speed is bought with durability.

- `plan`: how long and how large a run is.
- `events`: the events that are told: four shapes, the same in each run.
- `load`: many clients at once, by wrk or by an asyncio client; `calls`: one caller, one by one.
- `servers`: what is measured, started and ended; `mongo`: the mongod that they share.
- `field`: who takes part in a run.
- `naive`: the service as it is usually written.
- `limits`: what the framework and the stores can do at most.
- `ratios`: sides in turn, medians and spread.
- `room`: what a log takes on the disk.
- `book`: what was found; `report`: the same as Markdown; `plot`: growth as SVG.
- `machine`: where it was found.
- `measures`: what is measured, one module each.

`questions`, which asks a store directly, `explain`, which asks MongoDB how it answers, `merkle`,
which has no store, and `capacity`, which only reckons, are run by themselves.
"""
