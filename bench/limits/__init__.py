"""What the parts can do at most: the framework without a store, the stores without a service.

And the service without its ledger.
"""
