"""A folder of the hub described for workers, in a process of its own."""
