"""How the code bases that published checkpoints name what families share; a module for each."""
