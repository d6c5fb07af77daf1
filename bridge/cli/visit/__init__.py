"""What commands share that ask a running bridge by message: connect, ask, follow."""
