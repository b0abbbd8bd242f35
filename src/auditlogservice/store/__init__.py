"""Where records and users are kept: a contract (`port`) and two adapters that keep it."""
