"""What a person sees: the page, its charts and the trainer behind it."""
