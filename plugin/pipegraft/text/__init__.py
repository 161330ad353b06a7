"""Text that stays the user's: spans, edits and scanners that never reformat what they do not touch."""
