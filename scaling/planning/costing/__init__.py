"""What points cost: time, money, energy and memory."""
