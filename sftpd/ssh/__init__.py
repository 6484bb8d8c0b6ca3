"""SSH and what speaks through it: the listener, the sessions of partners and what they see, the couriers."""
