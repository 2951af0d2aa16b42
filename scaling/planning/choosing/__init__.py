"""What is believed of the law, and which runs tell most of a decision."""
