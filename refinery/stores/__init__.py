"""Where traces live: one plug-in a file, chosen by the URL's scheme (`wiring.open_store`).

Each public file has `open_store(url) -> Store` (see `refinery.ports.Store`). A store joins what
it is given with what it holds by `model.merge`, in one transaction a call, so that posts and
patches may come in any order and any number of times. What `write_runs` has returned for
survives a killed process. Everything that can go wrong with the disk, a foreign file or another
process is a `StoreError` with a hint. A new store must pass `tests/kits/store_contract.py`.

`_shared` holds the parts of stores that are not plug-ins themselves.
"""
