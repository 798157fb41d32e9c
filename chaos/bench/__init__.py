"""What a decision costs: load, floor, peers, and the tables made of them."""
