"""Who may come in: users, clients, people whom others vouch for, and what they show for it."""
