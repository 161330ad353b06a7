"""Whether an edit takes effect: what an engine renders before and after it, compared."""
