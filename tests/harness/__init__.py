"""What the whole-system tests stand on: the product's process, members, clients, and waiting.

Nothing here knows how the product is built inside. `fulcrum.py` starts the binary, `config.py` writes its configuration
file, `sdk.py` and `api.py` talk to its API, `stage.py` sets up load balancers, `members.py` are the servers behind them,
`http1.py` is a client that can send anything, `frames.py` and `conformance.py` speak HTTP/2 frame by frame, `load.py` keeps
requests coming, `wait.py` waits for conditions.
"""
