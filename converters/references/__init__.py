"""What files are made from and held against: a torch module, an imported network, a cascade."""
