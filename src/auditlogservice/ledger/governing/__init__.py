"""What is kept, how much of it and for how long, and what goes: by rules, holds and erasures."""
