"""What is made: one package a stage; an asset reads its inputs, calls one pure function, returns what it made."""
