"""What is done, in order: events become durable records, and people prove who they are."""
