"""What a model may have done for it: tools offered, calls found in what it writes."""
