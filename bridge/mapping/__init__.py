"""What operators write in mapping files, and what it makes of a message: reading, compiling, routing, evaluating."""
